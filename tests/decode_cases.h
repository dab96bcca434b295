/* SPDX-License-Identifier: MIT */
/*
 * Instructions for test_decode.c: one of each shape, and bytes that are none.
 */
#ifndef TESTS_DECODE_CASES_H
#define TESTS_DECODE_CASES_H

#include "transform/decode.h"

enum {
    OTHER = STA__INSTRUCTION_OTHER,
    NOP = STA__INSTRUCTION_NOP,
    ENDBR = STA__INSTRUCTION_ENDBR,
    SET_EAX = STA__INSTRUCTION_SET_EAX,
    SYSCALL = STA__INSTRUCTION_SYSCALL,
    SYSENTER = STA__INSTRUCTION_SYSENTER,
    INT = STA__INSTRUCTION_INT,
    INT1 = STA__INSTRUCTION_INT1,
    INT3 = STA__INSTRUCTION_INT3,
    UD = STA__INSTRUCTION_UD,
    HLT = STA__INSTRUCTION_HLT,
    JUMP = STA__INSTRUCTION_JUMP,
    JUMP_IF = STA__INSTRUCTION_JUMP_IF,
    LOOP = STA__INSTRUCTION_LOOP,
    CALL = STA__INSTRUCTION_CALL,
    XBEGIN = STA__INSTRUCTION_XBEGIN,
    JUMP_INDIRECT = STA__INSTRUCTION_JUMP_INDIRECT,
    CALL_INDIRECT = STA__INSTRUCTION_CALL_INDIRECT,
    RETURN = STA__INSTRUCTION_RETURN,
};

/* One instruction each. [ ] are around its displacement, { } around one that is relative to rip,
 * and ( ) around its immediate. */
static const struct {
    const char *bytes;
    int kind;
} cases[] = {
    /* prefixes, in any order */
    {"90", NOP},
    {"66 90", NOP},
    {"48 90", NOP},
    {"66 66 2e 90", NOP},
    {"f3 90", OTHER},          /* pause */
    {"41 90", OTHER},          /* xchg %eax,%r8d */
    {"f0 48 0f b1 0f", OTHER}, /* lock cmpxchg */
    {"f3 48 ab", OTHER},       /* rep stos */
    {"64 48 8b 04 25 [28 00 00 00]", OTHER},
    {"67 8d 04 37", OTHER},
    {"2e 36 3e 26 64 65 66 67 f2 f3 f0 01 07", OTHER},
    {"66 48 b8 (01 02 03 04 05 06 07 08)", OTHER},
    {"48 66 b8 (01 02)", OTHER}, /* REX is in effect only as the last prefix */
    {"48 40 b8 (01 02 03 04)", SET_EAX},

    /* ModRM, SIB, displacement */
    {"8b 07", OTHER},
    {"8b 47 [10]", OTHER},
    {"8b 87 [10 00 00 00]", OTHER},
    {"8b 05 {10 00 00 00}", OTHER},
    {"4d 8b 2d {10 00 00 00}", OTHER}, /* REX.B does not make rip r13 */
    {"67 8b 05 {10 00 00 00}", OTHER}, /* eip */
    {"8b 04 24", OTHER},
    {"8b 44 24 [10]", OTHER},
    {"8b 84 24 [10 00 00 00]", OTHER},
    {"8b 04 25 [10 00 00 00]", OTHER}, /* absolute */
    {"8b 04 8d [10 00 00 00]", OTHER}, /* no base */
    {"8b 44 8d [10]", OTHER},
    {"41 8b 45 [00]", OTHER},
    {"8b c5", OTHER},

    /* immediates */
    {"04 (01)", OTHER},
    {"05 (01 02 03 04)", OTHER},
    {"66 05 (01 02)", OTHER},
    {"66 48 05 (01 02 03 04)", OTHER},
    {"80 3d {01 02 03 04} (05)", OTHER},
    {"81 7c 24 [08] (01 02 03 04)", OTHER},
    {"66 81 3f (01 02)", OTHER},
    {"83 c0 (01)", OTHER},
    {"c7 05 {01 02 03 04} (05 06 07 08)", OTHER},
    {"66 c7 05 {01 02 03 04} (05 06)", OTHER},
    {"c6 07 (01)", OTHER},
    {"69 c0 (01 02 03 04)", OTHER},
    {"66 69 c0 (01 02)", OTHER},
    {"6b c0 (01)", OTHER},
    {"68 (01 02 03 04)", OTHER},
    {"66 68 (01 02)", OTHER},
    {"6a (01)", OTHER},
    {"a8 (01)", OTHER},
    {"c1 e0 (03)", OTHER},
    {"d1 e0", OTHER},
    {"c8 (01 02 03)", OTHER}, /* enter */
    {"e4 (60)", OTHER},       /* in */
    {"a0 [01 02 03 04 05 06 07 08]", OTHER},
    {"66 a3 [01 02 03 04 05 06 07 08]", OTHER},
    {"48 a1 [01 02 03 04 05 06 07 08]", OTHER},
    {"67 a1 [01 02 03 04]", OTHER},

    /* groups: an immediate with some members, some in memory only, or in registers only */
    {"f6 c1 (01)", OTHER}, /* test */
    {"f6 05 {01 02 03 04} (05)", OTHER},
    {"f6 d9", OTHER}, /* neg */
    {"f7 c1 (01 02 03 04)", OTHER},
    {"66 f7 c1 (01 02)", OTHER},
    {"f7 e9", OTHER}, /* imul */
    {"8f 00", OTHER}, /* pop */
    {"8f c0", OTHER},
    {"0f ba e0 (05)", OTHER},    /* bt */
    {"0f c7 4f [08]", OTHER},    /* cmpxchg8b */
    {"0f c7 f0", OTHER},         /* rdrand */
    {"66 0f 73 d8 (08)", OTHER}, /* psrldq */
    {"d9 7c 24 [0e]", OTHER},    /* fnstcw */
    {"db e8", OTHER},            /* fucomi */
    {"df c0", OTHER},            /* ffreep */
    {"9b", OTHER},               /* fwait, an instruction of its own */

    /* 0f, 0f 38, 0f 3a, 3DNow! */
    {"0f b6 c0", OTHER},
    {"0f a2", OTHER},                  /* cpuid */
    {"0f a4 c2 (07)", OTHER},          /* shld */
    {"0f c2 c1 (02)", OTHER},          /* cmpps */
    {"0f 70 c0 (1b)", OTHER},          /* pshufw */
    {"0f 77", OTHER},                  /* emms */
    {"0f ae 05 {01 02 03 04}", OTHER}, /* fxsave */
    {"0f ae f8", OTHER},               /* sfence */
    {"0f 01 f9", OTHER},               /* rdtscp */
    {"0f 20 00", OTHER},               /* mov %cr0,%rax: ModRM's mod field has no meaning */
    {"0f 22 45", OTHER},
    {"f3 0f b8 c0", OTHER},                  /* popcnt */
    {"66 0f 38 00 05 {01 02 03 04}", OTHER}, /* pshufb */
    {"f2 48 0f 38 f1 c0", OTHER},            /* crc32 */
    {"66 0f 3a 0f c1 (08)", OTHER},          /* palignr */
    {"0f 3a cc c1 (00)", OTHER},             /* sha1rnds4 */
    {"f3 0f 38 d8 00", OTHER},               /* aesencwide128kl */
    {"0f 0f c1 (9e)", OTHER},                /* pfadd: its opcode comes last */
    {"66 0f 78 c0 (01 02)", OTHER},          /* extrq */
    {"f2 0f 78 c1 (01 02)", OTHER},          /* insertq */
    {"0f 78 c1", OTHER},                     /* vmread */

    /* VEX */
    {"c5 f8 77", OTHER},                     /* vzeroupper */
    {"c5 f9 6f 05 {01 02 03 04}", OTHER},    /* vmovdqa */
    {"c5 f9 70 c0 (1b)", OTHER},             /* vpshufd */
    {"c5 f8 93 c0", OTHER},                  /* kmovw */
    {"c4 e1 fb 92 c0", OTHER},               /* kmovq */
    {"c4 e2 7d 58 05 {01 02 03 04}", OTHER}, /* vpbroadcastd */
    {"c4 e2 69 92 4c 8f [04]", OTHER},       /* vgatherdps */
    {"c4 e3 75 46 c2 (31)", OTHER},          /* vperm2i128 */
    {"c4 e3 fb f0 c0 (07)", OTHER},          /* rorx */
    {"c4 e2 78 49 c0", OTHER},               /* tilerelease */
    {"c4 e2 7b 4b 04 08", OTHER},            /* tileloadd */
    {"c4 e7 7b f8 c0 (01 02 03 04)", OTHER}, /* urdmsr */

    /* XOP */
    {"8f e8 78 c0 c1 (01)", OTHER},          /* vprotb */
    {"8f e9 78 c2 c0", OTHER},               /* vphaddbd */
    {"8f ea 78 10 c0 (01 02 03 04)", OTHER}, /* bextr */

    /* EVEX */
    {"62 f1 7c 48 10 05 {01 02 03 04}", OTHER}, /* vmovups */
    {"62 f1 7c 48 10 47 [01]", OTHER},          /* the displacement is scaled, but 1 byte */
    {"62 f1 7d 48 72 e0 (05)", OTHER},          /* vpsrad */
    {"62 f2 7d 48 58 c0", OTHER},               /* vpbroadcastd */
    {"62 f3 75 48 25 c2 (ff)", OTHER},          /* vpternlogd */
    {"62 f5 7c 48 58 c0", OTHER},               /* vaddph */
    {"62 f6 7d 48 98 40 [01]", OTHER},          /* vfmadd132ph */

    /* system calls, traps */
    {"0f 05", SYSCALL},
    {"f3 0f 05", SYSCALL},
    {"0f 34", SYSENTER},
    {"cd (80)", INT},
    {"cc", INT3},
    {"f1", INT1},
    {"f4", HLT},
    {"0f 0b", UD},                  /* ud2 */
    {"0f b9 04 24", UD},            /* ud1 */
    {"0f ff 05 {01 02 03 04}", UD}, /* ud0 */
    {"c6 f8 (01)", OTHER},          /* xabort */
    {"f3 0f 01 ee", OTHER},         /* clui */
    {"f3 0f c7 f0", OTHER},         /* senduipi */

    /* branches */
    {"eb (fe)", JUMP},
    {"e9 (01 02 03 04)", JUMP},
    {"f2 e9 (01 02 03 04)", JUMP},
    {"48 e9 (01 02 03 04)", JUMP},
    {"74 (10)", JUMP_IF},
    {"2e 75 (10)", JUMP_IF}, /* with a hint */
    {"0f 84 (01 02 03 04)", JUMP_IF},
    {"e0 (10)", LOOP},
    {"e3 (10)", LOOP},
    {"67 e3 (10)", LOOP}, /* jecxz */
    {"e8 (01 02 03 04)", CALL},
    {"66 66 48 e8 (01 02 03 04)", CALL}, /* as thread-local variables are got at */
    {"ff d0", CALL_INDIRECT},
    {"41 ff 15 {01 02 03 04}", CALL_INDIRECT},
    {"ff 18", CALL_INDIRECT}, /* far */
    {"ff e0", JUMP_INDIRECT},
    {"3e ff e2", JUMP_INDIRECT}, /* notrack */
    {"ff 24 c5 [01 02 03 04]", JUMP_INDIRECT},
    {"ff 28", JUMP_INDIRECT}, /* far */
    {"ff 30", OTHER},         /* push */
    {"c3", RETURN},
    {"f3 c3", RETURN},
    {"c2 (08 00)", RETURN},
    {"66 ca (08 00)", RETURN},
    {"48 cb", RETURN},
    {"48 cf", RETURN}, /* iretq */
    {"c7 f8 (01 02 03 04)", XBEGIN},
    {"66 c7 f8 (01 02)", XBEGIN},

    /* padding, landing pads */
    {"0f 1f 00", NOP},
    {"0f 1f 40 [00]", NOP},
    {"0f 1f 44 00 [00]", NOP},
    {"66 0f 1f 44 00 [00]", NOP},
    {"0f 1f 80 [00 00 00 00]", NOP},
    {"0f 1f 84 00 [00 00 00 00]", NOP},
    {"66 2e 0f 1f 84 00 [00 00 00 00]", NOP},
    {"66 66 66 66 66 2e 0f 1f 84 00 [00 00 00 00]", NOP},
    {"f3 0f 1e fa", ENDBR},
    {"0f 1e fa", OTHER},
    {"f3 0f 1e fb", OTHER},    /* endbr32 */
    {"f3 48 0f 1e c8", OTHER}, /* rdsspq */

    /* what sets eax to a constant */
    {"b8 (27 00 00 00)", SET_EAX},
    {"c7 c0 (27 00 00 00)", SET_EAX},
    {"48 c7 c0 (27 00 00 00)", SET_EAX},
    {"31 c0", SET_EAX},
    {"33 c0", SET_EAX},
    {"48 31 c0", SET_EAX},
    {"41 b8 (27 00 00 00)", OTHER}, /* r8d */
    {"b9 (27 00 00 00)", OTHER},
    {"66 b8 (27 00)", OTHER},
    {"48 b8 (27 00 00 00 00 00 00 00)", OTHER},
    {"66 c7 c0 (27 00)", OTHER},
    {"41 c7 c0 (27 00 00 00)", OTHER},
    {"66 31 c0", OTHER},
    {"45 31 c0", OTHER},
    {"31 c9", OTHER},
};

#define CASE_COUNT (sizeof(cases) / sizeof(*cases))

static const char *const undefined[] = {
    /* one byte */
    "06",
    "07",
    "0e",
    "16",
    "1f",
    "27",
    "2f",
    "37",
    "3f",
    "60",
    "61",
    "82 c0 01",
    "9a",
    "ce",
    "d4",
    "d6",
    "ea",
    /* groups */
    "8d c0",
    "8f 20",
    "c6 08 01",
    "c7 c8 01 02 03 04",
    "fe d0",
    "ff d8",
    "ff e8",
    "ff f8",
    "d9 08",
    "df f8",
    "0f 00 f0",
    "0f 71 00 01",
    "0f 71 c0 01",
    "0f a6 00",
    "0f ba c0 01",
    "0f c7 00",
    /* other maps */
    "0f 04",
    "0f 0a",
    "0f 24 c0",
    "0f 3f",
    "0f b8 c0",
    "f3 0f 78 c0",
    "0f 38 0f c0",
    "0f 3a 00 c0 01",
    "c5 f8 05",
    "c4 e0 78 58 c0",
    "c4 e4 78 58 c0",
    "c4 eb 78 58 c0",
    "8f eb 78 c0 c1",
    "62 f0 7c 48 58 c0",
    "62 f7 7c 48 58 c0",
    "62 f1 7c 48 77",
    /* APX, which the decoder does not know: REX2, EVEX map 4, registers 16 to 31 in EVEX */
    "d5 08 01 c0",
    "62 f4 7c 08 01 c0",
    "62 f9 7c 48 58 c0",
    "62 f1 78 48 58 c0",
};

#define UNDEFINED_COUNT (sizeof(undefined) / sizeof(*undefined))

#endif
