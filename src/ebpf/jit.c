/* SPDX-License-Identifier: MIT */
/* The steps: plan, measure, write, fill in, seal. */
#include "ebpf/jit.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "ebpf/jit_work.h"

/* Distances in the code have 32 bits; and nobody has programs like that. */
#define SIZE_LIMIT (1u << 30)

/* CPUID 7: EBX bit 8 is BMI2. The instruction is slow, on virtual machines very much so. */
static bool has_bmi2(void)
{
    static _Atomic int known; /* 0: not yet; 1: no; 2: yes */
    int has = atomic_load_explicit(&known, memory_order_relaxed);
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;

    if (has)
        return has == 2;
    __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    if (eax >= 7) {
        eax = 7;
        ecx = 0;
        __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
        has = ebx >> 8 & 1;
    }
    atomic_store_explicit(&known, has + 1, memory_order_relaxed);
    return has;
}

static int alloc_tables(struct sta__jit_work *work)
{
    size_t count = work->code->count;

    /* Each instruction has at most one thing to be filled in; the ways in have one besides. */
    work->patches = malloc((count + work->code->subprog_count + 2) * sizeof(*work->patches));
    work->measured = malloc((count + 1) * sizeof(*work->measured));
    work->offsets = malloc((count + 1) * sizeof(*work->offsets));
    work->subprogs = calloc(work->code->subprog_count, sizeof(*work->subprogs));
    if (work->patches && work->measured && work->offsets && work->subprogs)
        return 0;
    sta__log(work->log, STA_LOG_ERROR, "no memory to compile %zu instructions", count);
    return -ENOMEM;
}

static void free_tables(struct sta__jit_work *work)
{
    free(work->patches);
    free(work->measured);
    free(work->offsets);
    free(work->subprogs);
}

/* Bytes that the program takes at most. */
static int measure(struct sta__jit_work *work, uint32_t *size)
{
    uint8_t buffer[STA__JIT_INSN_MAX];

    work->is_measuring = true;
    work->buffer = work->x.at = buffer;
    sta__jit_pass(work);
    *size = sta__jit_here(work);
    if (work->err)
        return work->err;
    if (*size > SIZE_LIMIT) {
        sta__log(work->log, STA_LOG_ERROR, "%u instructions are %u bytes of native code",
                 work->code->count, *size);
        return -E2BIG;
    }
    return 0;
}

static uint32_t offset_of(const struct sta__jit_work *work, const struct sta__jit_patch *patch)
{
    switch (patch->kind) {
    case STA__PATCH_SUBPROG:
        return work->subprogs[patch->target].entry;
    case STA__PATCH_CALLBACK:
        return work->subprogs[patch->target].callback;
    default:
        return work->offsets[patch->target];
    }
}

static void fill_in(struct sta__jit_work *work)
{
    for (uint32_t i = 0; i < work->patch_count; i++) {
        const struct sta__jit_patch *patch = &work->patches[i];
        int32_t distance = (int32_t)(offset_of(work, patch) - patch->end);

        if (patch->kind == STA__PATCH_SHORT)
            work->buffer[patch->end - 1] = (uint8_t)distance;
        else
            memcpy(work->buffer + patch->end - sizeof(distance), &distance, sizeof(distance));
    }
}

/* What is left of the last page traps. */
static void pad(struct sta__jit_work *work, const struct sta__jit_memory *memory)
{
    uint32_t here = sta__jit_here(work);

    memset(work->buffer + here, 0xcc, memory->size - here);
}

static void write_code(struct sta__jit_work *work, const struct sta__jit_memory *memory)
{
    work->is_measuring = false;
    work->buffer = work->x.at = memory->start;
    work->base = 0;
    work->address = (uintptr_t)memory->start;
    sta__jit_pass(work);
    fill_in(work);
    pad(work, memory);
}

static int refuse_memory(const struct sta__jit_work *work, const char *what, size_t size, int err)
{
    sta__log(work->log, STA_LOG_ERROR, "%s %zu bytes of executable memory: %s", what, size,
             strerror(-err));
    return err;
}

static int compile(struct sta__jit_work *work, struct sta__jit_memory *memory)
{
    uint32_t size;
    int err;

    sta__jit_plan(work);
    err = measure(work, &size);
    if (err < 0)
        return err;
    err = sta__jit_memory_alloc(memory, size);
    if (err < 0)
        return refuse_memory(work, "getting", size, err);
    write_code(work, memory);
    err = sta__jit_memory_seal(memory);
    if (err < 0)
        return refuse_memory(work, "sealing", memory->size, err);
    return 0;
}

int sta__jit_compile(struct sta__jit *out, const struct sta__code *code,
                     const struct sta__jit_options *options, const struct sta__log *log)
{
    struct sta__jit_work work = {.code = code, .log = log};
    struct sta__jit_memory memory = {NULL, 0};
    int err = alloc_tables(&work);

    work.has_shiftx = !options->without_shiftx && has_bmi2();
    if (!err)
        err = compile(&work, &memory);
    if (err < 0) {
        sta__jit_memory_free(&memory);
    } else {
        *out = (struct sta__jit){
            .run = (sta_callback)work.address,
            .enter = (uint64_t(*)(void *, struct sta__tail_run *, const struct sta__tail_target *))(
                work.address + work.enter),
            .size = sta__jit_here(&work),
            .mapped = memory.size,
        };
        if (options->writes_map)
            sta__jit_perf_note(&work, options->name ? options->name : "", (uint32_t)out->size);
    }
    free_tables(&work);
    return err;
}

void sta__jit_free(struct sta__jit *jit)
{
    struct sta__jit_memory memory = {(void *)(uintptr_t)jit->run, jit->mapped};

    sta__jit_memory_free(&memory);
    *jit = (struct sta__jit){0};
}
