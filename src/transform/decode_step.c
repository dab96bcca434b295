/* SPDX-License-Identifier: MIT */
/*
 * The usual instructions, which most are, decoded with a table look-up or two and few branches: to
 * decode code is to wait for mispredicted branches.
 */
#include "transform/decode.h"

/* What follows an opcode, and what it does. */
#define USUAL    0x80
#define MODRM    0x40
#define WIDE     0x20 /* the immediate has 8 bytes with REX.W */
#define ENDS     0x10
#define DISTANCE 0x08 /* the immediate is one */
#define GROUP    0x08 /* with MODRM: ModRM's reg field extends the opcode; which group is below */
#define SIZE     0x07 /* of the immediate; of GROUP: which */

#define M  (USUAL | MODRM)
#define M1 (USUAL | MODRM | 1)
#define M4 (USUAL | MODRM | 4)

enum { GROUP_MOV1, GROUP_MOV4, GROUP_3_1, GROUP_3_4, GROUP_4, GROUP_5, GROUP_COUNT };

#define IN_GROUP(which) (USUAL | MODRM | GROUP | (which))

/* By ModRM's reg field; 0: none of the usual ones. */
static const uint8_t groups[GROUP_COUNT][8] = {
    [GROUP_MOV1] = {M1},                     /* c6: not xabort */
    [GROUP_MOV4] = {M4},                     /* c7: not xbegin */
    [GROUP_3_1] = {M1, 0, M, M, M, M, M, M}, /* f6: test, not, neg, mul, imul, div, idiv */
    [GROUP_3_4] = {M4, 0, M, M, M, M, M, M}, /* f7 */
    [GROUP_4] = {M, M},                      /* fe: inc, dec */
    [GROUP_5] = {M, M, M, 0, M | ENDS, 0, M} /* ff: inc, dec, call, jmp, push */
};

#define ARITHMETIC(first) \
    [(first)...(first) + 3] = M, [(first) + 4] = USUAL | 1, [(first) + 5] = USUAL | 4

/* One byte. */
static const uint8_t forms_0[256] = {
    ARITHMETIC(0x00),
    ARITHMETIC(0x08),
    ARITHMETIC(0x10),
    ARITHMETIC(0x18),
    ARITHMETIC(0x20),
    ARITHMETIC(0x28),
    ARITHMETIC(0x30),
    ARITHMETIC(0x38),
    [0x50 ... 0x5f] = USUAL, /* push, pop */
    [0x63] = M,              /* movsxd */
    [0x68] = USUAL | 4,      /* push */
    [0x69] = M4,             /* imul */
    [0x6a] = USUAL | 1,
    [0x6b] = M1,
    [0x70 ... 0x7f] = USUAL | DISTANCE | 1, /* jcc */
    [0x80] = M1,
    [0x81] = M4,
    [0x83] = M1,
    [0x84 ... 0x8b] = M,     /* test, xchg, mov */
    [0x8d] = M,              /* lea */
    [0x98 ... 0x99] = USUAL, /* cltq, cqto */
    [0xa8] = USUAL | 1,      /* test */
    [0xa9] = USUAL | 4,
    [0xb0 ... 0xb7] = USUAL | 1, /* mov */
    [0xb8 ... 0xbf] = USUAL | WIDE | 4,
    [0xc0] = M1, /* shifts */
    [0xc1] = M1,
    [0xc3] = USUAL | ENDS, /* ret */
    [0xc6] = IN_GROUP(GROUP_MOV1),
    [0xc7] = IN_GROUP(GROUP_MOV4),
    [0xc9] = USUAL, /* leave */
    [0xd0 ... 0xd3] = M,
    [0xe8] = USUAL | DISTANCE | 4,        /* call */
    [0xe9] = USUAL | DISTANCE | ENDS | 4, /* jmp */
    [0xeb] = USUAL | DISTANCE | ENDS | 1,
    [0xf6] = IN_GROUP(GROUP_3_1),
    [0xf7] = IN_GROUP(GROUP_3_4),
    [0xfe] = IN_GROUP(GROUP_4),
    [0xff] = IN_GROUP(GROUP_5),
};

/* 0f. Without f3, 1e is no endbr64. 1f is a nop; b9 and ff are undefined on purpose. */
static const uint8_t forms_1[256] = {
    [0x02 ... 0x03] = M,
    [0x0d] = M,
    [0x10 ... 0x1e] = M,
    [0x28 ... 0x2f] = M,
    [0x40 ... 0x6f] = M,
    [0x70] = M1,
    [0x74 ... 0x76] = M,
    [0x7c ... 0x7f] = M,
    [0x80 ... 0x8f] = USUAL | DISTANCE | 4, /* jcc */
    [0x90 ... 0x9f] = M,
    [0xa3] = M,
    [0xa4] = M1,
    [0xa5] = M,
    [0xab] = M,
    [0xac] = M1,
    [0xad ... 0xaf] = M,
    [0xb0 ... 0xb7] = M,
    [0xbb ... 0xbf] = M,
    [0xc0 ... 0xc1] = M,
    [0xc2] = M1,
    [0xc3] = M,
    [0xc4 ... 0xc6] = M1,
    [0xc8 ... 0xcf] = USUAL, /* bswap */
    [0xd0 ... 0xfe] = M,
};

/* ModRM and what it asks for. */
static unsigned operand_size(const uint8_t *modrm)
{
    static const uint8_t sizes[4][8] = {{1, 1, 1, 1, 2, 5, 1, 1},
                                        {2, 2, 2, 2, 3, 2, 2, 2},
                                        {5, 5, 5, 5, 6, 5, 5, 5},
                                        {1, 1, 1, 1, 1, 1, 1, 1}};
    unsigned mod = modrm[0] >> 6, rm = modrm[0] & 7;
    bool has_no_base = mod == 0 && rm == 4 && (modrm[1] & 7) == 5;

    return sizes[mod][rm] + (has_no_base ? 4u : 0u);
}

uint32_t sta__decode_step(const uint8_t *code)
{
    bool is_word = code[0] == 0x66;
    unsigned at = is_word;
    uint8_t rex = (code[at] & 0xf0) == 0x40 ? code[at] : 0, opcode, form;
    unsigned immediate;

    at += rex != 0;
    opcode = code[at++];
    form = forms_0[opcode];
    if (opcode == 0x0f)
        form = forms_1[code[at++]];
    if ((form & (MODRM | GROUP)) == (MODRM | GROUP))
        form = groups[form & SIZE][code[at] >> 3 & 7];
    immediate = form & SIZE;
    /* With 66, immediates may be shorter, and branches differ by maker; lea has no register. */
    if (!form || (is_word && (immediate == 4 || (form & (DISTANCE | ENDS)))) ||
        (opcode == 0x8d && code[at] >= 0xc0))
        return 0;
    if (form & DISTANCE)
        return (at + immediate) | immediate << 8 | (form & ENDS ? STA__STEP_ENDS : 0);
    if (form & WIDE)
        immediate += (rex & STA__REX_W) / 2;
    if (form & MODRM)
        at += operand_size(code + at);
    return (at + immediate) | (form & ENDS ? STA__STEP_ENDS : 0);
}
