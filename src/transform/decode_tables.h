/* SPDX-License-Identifier: MIT */
/*
 * What follows each opcode, in 64-bit mode. For decode.c only.
 *
 * After the opcode maps of the Intel SDM, volume 2, appendix A (tables: rows and columns
 * are the same here, so that the two can be held side by side) and, for 3DNow!, SSE4a and XOP, of
 * the AMD64 APM, volume 3, appendix A. One letter an opcode:
 *
 *     .  undefined
 *     -  nothing follows
 *     m  ModRM, with what it asks for: SIB, displacement
 *     r  ModRM that names registers whatever its mod field says: mov to and from cr and dr
 *     g  ModRM whose reg field extends the opcode: see the groups below
 *     s  ModRM, special: see form_by_prefix() in decode.c
 *     b  immediate of 1 byte                                 B  ModRM, then that
 *     e  immediates of 2 bytes and 1 byte: enter
 *     z  immediate of 2 bytes with prefix 66, else 4         Z  ModRM, then that
 *     w  immediate of 2 bytes                                W  ModRM, then that
 *                                                            D  ModRM, then immediate of 4 bytes
 *     v  immediate of 8 bytes with REX.W, else as z: mov
 *     o  address of 8 bytes, of 4 with prefix 67: mov
 *     j  distance of 1 byte                                  J  of 2 or 4 bytes, as z
 *     p  legacy prefix      R  REX prefix      x  introduces another map
 *
 * With REX.W prefix 66 has no effect on z, v and J.
 */
#ifndef STA_TRANSFORM_DECODE_TABLES_H
#define STA_TRANSFORM_DECODE_TABLES_H

#include <stdint.h>

#include "transform/decode.h"

/* One byte. */
static const char legacy_map_0[16][17] = {
    /*       0123456789abcdef */
    /* 0 */ "mmmmbz..mmmmbz.x",
    /* 1 */ "mmmmbz..mmmmbz..",
    /* 2 */ "mmmmbzp.mmmmbzp.",
    /* 3 */ "mmmmbzp.mmmmbzp.",
    /* 4 */ "RRRRRRRRRRRRRRRR",
    /* 5 */ "----------------",
    /* 6 */ "..xmppppzZbB----", /* 62: EVEX */
    /* 7 */ "jjjjjjjjjjjjjjjj",
    /* 8 */ "BZ.Bmmmmmmmmmgmg", /* 8f: pop, or XOP, by its second byte */
    /* 9 */ "----------.-----",
    /* a */ "oooo----bz------",
    /* b */ "bbbbbbbbvvvvvvvv",
    /* c */ "BBw-xxgge-w--b.-", /* c4, c5: VEX */
    /* d */ "mmmm...-gggggggg",
    /* e */ "jjjjbbbbJJ.j----",
    /* f */ "p-pp--gg------gg",
};

/* 0f. */
static const char legacy_map_1[16][17] = {
    /*       0123456789abcdef */
    /* 0 */ "gmmm.-----.-.m-B", /* 0f: 3DNow!, the last byte is its opcode */
    /* 1 */ "mmmmmmmmmmmmmmmm",
    /* 2 */ "rrrr....mmmmmmmm",
    /* 3 */ "------.-x.x.....",
    /* 4 */ "mmmmmmmmmmmmmmmm",
    /* 5 */ "mmmmmmmmmmmmmmmm",
    /* 6 */ "mmmmmmmmmmmmmmmm",
    /* 7 */ "Bgggmmm-sm..mmmm",
    /* 8 */ "JJJJJJJJJJJJJJJJ",
    /* 9 */ "mmmmmmmmmmmmmmmm",
    /* a */ "---mBmgg---mBmmm", /* a6, a7: VIA PadLock */
    /* b */ "mmmmmmmmsmgmmmmm",
    /* c */ "mmBmBBBg--------",
    /* d */ "mmmmmmmmmmmmmmmm",
    /* e */ "mmmmmmmmmmmmmmmm",
    /* f */ "mmmmmmmmmmmmmmmm",
};

/* 0f 38. */
static const char legacy_map_2[16][17] = {
    /*       0123456789abcdef */
    /* 0 */ "mmmmmmmmmmmm....",
    /* 1 */ "m...mm.m....mmm.",
    /* 2 */ "mmmmmm..mmmm....",
    /* 3 */ "mmmmmm.mmmmmmmmm",
    /* 4 */ "mm..............",
    /* 5 */ "................",
    /* 6 */ "................",
    /* 7 */ "................",
    /* 8 */ "mmm.......mm....",
    /* 9 */ "................",
    /* a */ "................",
    /* b */ "................",
    /* c */ "........mmmmmm.m",
    /* d */ "........m..mmmmm",
    /* e */ "................",
    /* f */ "mm...mm.mmmmm...",
};

/* 0f 3a. */
static const char legacy_map_3[16][17] = {
    /*       0123456789abcdef */
    /* 0 */ "........BBBBBBBB",
    /* 1 */ "....BBBB........",
    /* 2 */ "BBB.............",
    /* 3 */ "................",
    /* 4 */ "BBB.B...........",
    /* 5 */ "................",
    /* 6 */ "BBBB............",
    /* 7 */ "................",
    /* 8 */ "................",
    /* 9 */ "................",
    /* a */ "................",
    /* b */ "................",
    /* c */ "............B.BB",
    /* d */ "...............B",
    /* e */ "................",
    /* f */ "B...............",
};

/* Map 1 of VEX and EVEX. Only VEX has 77. */
static const char vector_map_1[16][17] = {
    /*       0123456789abcdef */
    /* 0 */ "................",
    /* 1 */ "mmmmmmmm........",
    /* 2 */ "........mmmmmmmm",
    /* 3 */ "................",
    /* 4 */ ".mm.mmmm..mm....",
    /* 5 */ "mmmmmmmmmmmmmmmm",
    /* 6 */ "mmmmmmmmmmmmmmmm",
    /* 7 */ "BBBBmmm-mmmmmmmm",
    /* 8 */ "................",
    /* 9 */ "mmmm....mm......",
    /* a */ "..............m.",
    /* b */ "................",
    /* c */ "..B.BBB.........",
    /* d */ "mmmmmmmmmmmmmmmm",
    /* e */ "mmmmmmmmmmmmmmmm",
    /* f */ "mmmmmmmmmmmmmmm.",
};

/* In each other map of VEX, XOP and EVEX all opcodes have one form. '.': there is no such map. */
#define VECTOR_MAPS 11

static const char vector_map_forms[][VECTOR_MAPS + 1] = {
    /*                      0123456789a */
    [STA__ENCODING_VEX] = "..mB.m.D...",
    [STA__ENCODING_XOP] = "........BmD",
    [STA__ENCODING_EVEX] = "..mB.mm....",
};

/*
 * Groups: opcodes that ModRM's reg field extends. Bit n of with_memory and of with_register says
 * that /n is defined with an operand in memory and in a register. (SDM, table A-6; for x87, tables
 * .) The immediate, in the letters above, follows where bit n of immediate_regs is set.
 */
struct opcode_group {
    uint8_t map;
    uint8_t opcode;
    uint8_t with_memory;
    uint8_t with_register;
    uint8_t immediate_regs;
    char immediate;
};

static const struct opcode_group opcode_groups[] = {
    {0, 0x8d, 0xff, 0x00, 0x00, 0},   /* lea */
    {0, 0x8f, 0x01, 0x01, 0x00, 0},   /* 1A: pop */
    {0, 0xc6, 0x01, 0x81, 0xff, 'B'}, /* 11: mov; /7: xabort */
    {0, 0xc7, 0x01, 0x81, 0xff, 'Z'}, /* 11: mov; /7: xbegin */
    {0, 0xd8, 0xff, 0xff, 0x00, 0},   /* x87 from here to df */
    {0, 0xd9, 0xfd, 0xf7, 0x00, 0},   {0, 0xda, 0xff, 0x2f, 0x00, 0},
    {0, 0xdb, 0xaf, 0x7f, 0x00, 0},   {0, 0xdc, 0xff, 0xf3, 0x00, 0},
    {0, 0xdd, 0xdf, 0x3d, 0x00, 0},   {0, 0xde, 0xff, 0xfb, 0x00, 0},
    {0, 0xdf, 0xff, 0x71, 0x00, 0},   /* with ffreep, which the SDM leaves out */
    {0, 0xf6, 0xff, 0xff, 0x03, 'B'}, /* 3: test has an immediate, the rest not */
    {0, 0xf7, 0xff, 0xff, 0x03, 'Z'}, {0, 0xfe, 0x03, 0x03, 0x00, 0}, /* 4: inc, dec */
    {0, 0xff, 0x7f, 0x57, 0x00, 0},   /* 5: far branches take memory only */
    {1, 0x00, 0x3f, 0x3f, 0x00, 0},   /* 6: sldt, ... */
    {1, 0x71, 0x00, 0x54, 0xff, 'B'}, /* 12, 13, 14: vector shifts */
    {1, 0x72, 0x00, 0x54, 0xff, 'B'}, {1, 0x73, 0x00, 0xcc, 0xff, 'B'},
    {1, 0xa6, 0x00, 0x07, 0x00, 0},   /* montmul, ... */
    {1, 0xa7, 0x00, 0x3f, 0x00, 0},   /* xstore, ... */
    {1, 0xba, 0xf0, 0xf0, 0xff, 'B'}, /* 8: bt, ... */
    {1, 0xc7, 0xfa, 0xc0, 0x00, 0},   /* 9: cmpxchg8b, ... */
};

#endif
