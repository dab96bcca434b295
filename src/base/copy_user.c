/* SPDX-License-Identifier: MIT */
/* On the dispatch path: see copy_user.h. */
#include "base/copy_user.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#include "base/gate.h"
#include "base/memory.h"
#include "base/private_stack.h"
#include "base/quiesce.h"

/* What user addresses are below, at most: with five levels of page tables (TASK_SIZE_MAX). With
 * four, those that are too high fault. */
#define USER_END          ((UINT64_C(1) << 56) - 4096)
#define USER_END_4_LEVELS ((UINT64_C(1) << 47) - 4096)

/* What is read by the kernel at a time: pages differ in whether they are there. */
#define PAGE_SIZE 4096

/* copy_user.S */
int64_t sta__copy_bytes(void *to, const void *from, size_t size);
int64_t sta__copy_string(char *to, const char *from, size_t size);
extern STA__HIDDEN const char sta__copy_string_word[], sta__copy_string_bytes[];
extern STA__HIDDEN const char sta__copy_end[], sta__copy_fault[];

STA__THREAD_LOCAL _Atomic uint32_t sta__faults_known;
_Atomic uint32_t sta__faults_generation = STA__FAULTS_NOBODY;
void (*_Atomic sta__copy_wanted)(void);
static _Atomic bool is_wanted;

void sta__copy_want(void)
{
    void (*wanted)(void);

    if (atomic_load_explicit(&is_wanted, memory_order_relaxed))
        return;
    atomic_store_explicit(&is_wanted, true, memory_order_relaxed);
    /* Pairs with transform/faults.c: either it sees that this is wanted, or it is called here. */
    sta__full_barrier();
    wanted = atomic_load_explicit(&sta__copy_wanted, memory_order_acquire);
    if (wanted)
        wanted();
}

bool sta__copy_is_wanted(void)
{
    return atomic_load_explicit(&is_wanted, memory_order_relaxed);
}

bool sta__copy_fix(uintptr_t *pc)
{
    if (*pc < (uintptr_t)sta__copy_bytes || *pc >= (uintptr_t)sta__copy_end)
        return false;
    *pc = *pc == (uintptr_t)sta__copy_string_word ? (uintptr_t)sta__copy_string_bytes
                                                  : (uintptr_t)sta__copy_fault;
    return true;
}

/* Relaxed, here and below: only this thread and its signal handlers look at it. */
static void set_known(uint32_t known)
{
    atomic_store_explicit(&sta__faults_known, known, memory_order_relaxed);
}

static uint32_t get_known(void)
{
    return atomic_load_explicit(&sta__faults_known, memory_order_relaxed);
}

void sta__faults_mask(uint64_t mask)
{
    set_known(mask & STA__FAULT_SIGNALS ? STA__FAULTS_BLOCKED : STA__FAULTS_UNKNOWN);
}

void sta__faults_forget(void)
{
    uint32_t known = get_known();

    /* A thread that was known not to block them still does not. */
    if (known == STA__FAULTS_BLOCKED)
        set_known(STA__FAULTS_UNKNOWN);
}

/* Whether a fault will be handled on this thread, which is not known to be so. */
static STA__NOINLINE bool ask(uint32_t generation)
{
    uint32_t known = get_known();
    uint64_t mask = UINT64_MAX;

    if (generation == STA__FAULTS_NOBODY ||
        (known >= STA__FAULTS_BLOCKED && known <= STA__FAULTS_CHANGING))
        return false;
    STA__RAW4(SYS_rt_sigprocmask, SIG_BLOCK, 0, &mask, sizeof(mask));
    if (sta__self.alt_stack_high == 0)
        sta__alt_stack_find();
    set_known(mask & STA__FAULT_SIGNALS ? STA__FAULTS_BLOCKED : generation);
    return !(mask & STA__FAULT_SIGNALS);
}

/* Inside a section only: the handler stays until all are left. Acquire: it is there. */
STA__INLINE bool faults_are_handled(void)
{
    uint32_t generation = atomic_load_explicit(&sta__faults_generation, memory_order_acquire);

    return (sta__likely(get_known() == generation) || ask(generation)) &&
           sta__likely(!sta__on_alt_stack((uintptr_t)__builtin_frame_address(0))) &&
           atomic_load_explicit(&sta__self.reader->state, memory_order_relaxed) != 0;
}

STA__INLINE bool is_user(uint64_t address, size_t size)
{
    return address < USER_END && size <= USER_END - address;
}

static void clear(void *memory, size_t size)
{
    __asm__ volatile("rep stosb" : "+D"(memory), "+c"(size) : "a"(0) : "memory");
}

/* ---- by the kernel ---- */

/* Where process_vm_readv is not offered: a pipe reads and writes memory as any system call does. */
static int64_t copy_through_pipe(char *to, const char *from, size_t size)
{
    int ends[2];
    int64_t err = STA__RAW2(SYS_pipe2, ends, O_CLOEXEC | O_NONBLOCK);

    if (err < 0)
        return -EFAULT;
    while (size > 0 && err >= 0) {
        size_t part = size < PAGE_SIZE ? size : PAGE_SIZE;

        err = -EFAULT;
        if (STA__RAW3(SYS_write, ends[1], from, part) == (int64_t)part &&
            STA__RAW3(SYS_read, ends[0], to, part) == (int64_t)part)
            err = 0;
        to += part, from += part, size -= part;
    }
    STA__RAW1(SYS_close, ends[0]);
    STA__RAW1(SYS_close, ends[1]);
    return err;
}

static STA__NOINLINE int64_t read_by_kernel(void *to, uint64_t from, size_t size)
{
    const void *source = (const void *)(uintptr_t)from;
    int64_t err = sta__memory_read_checked(to, source, size);

    return err == 0 || err == -EFAULT ? err : copy_through_pipe(to, source, size);
}

static STA__NOINLINE int64_t write_by_kernel(void *to, const void *from, size_t size)
{
    int64_t err = sta__memory_write_checked(to, from, size);

    return err == 0 || err == -EFAULT ? err : copy_through_pipe(to, from, size);
}

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The bytes in front of the zero; `size`: there is none. */
static size_t length_in(const char *text, size_t size)
{
    size_t length = 0;

    while (length < size && text[length])
        length++;
    return length;
}

/* A string ends at the index `end`: the word of eight bytes that has the zero is zeros from there
 * on, if it was there to be read as a whole. */
static size_t bytes_to_clear(uint64_t from, size_t end, size_t size)
{
    size_t word_end = (end + 8) & ~(size_t)7;
    char byte;

    if (word_end > size || read_by_kernel(&byte, from + word_end - 1, 1) < 0)
        return 1;
    return word_end - end;
}

/* In parts that each lie on one page. */
static STA__NOINLINE int64_t read_string_by_kernel(char *to, uint64_t from, size_t size)
{
    size_t done = 0;

    while (done < size) {
        size_t on_page = PAGE_SIZE - (from + done) % PAGE_SIZE;
        size_t part = min(min(size - done, on_page), 128);
        char text[128];
        size_t length;
        int64_t err = read_by_kernel(text, from + done, part);

        if (err < 0)
            return err;
        length = length_in(text, part);
        sta__memory_copy(to + done, text, length);
        done += length;
        if (length < part) {
            clear(to + done, bytes_to_clear(from, done, size));
            return (int64_t)done + 1;
        }
    }
    to[size - 1] = '\0';
    return (int64_t)size;
}

/* ---- */

int64_t sta__copy_from_user(void *to, uint64_t from, size_t size)
{
    const void *source = (const void *)(uintptr_t)from;
    int64_t err = -EFAULT;

    if (sta__unlikely(size == 0))
        return from <= USER_END_4_LEVELS ? 0 : -EFAULT;
    if (sta__likely(is_user(from, size)))
        err = sta__likely(faults_are_handled()) ? sta__copy_bytes(to, source, size)
                                                : read_by_kernel(to, from, size);
    if (sta__unlikely(err < 0))
        clear(to, size);
    return err;
}

int64_t sta__copy_string_from_user(char *to, uint64_t from, size_t size)
{
    const char *source = (const char *)(uintptr_t)from;
    int64_t result = -EFAULT;

    if (sta__unlikely(size == 0))
        return 0;
    if (sta__likely(is_user(from, 1)))
        result = sta__likely(faults_are_handled()) ? sta__copy_string(to, source, size)
                                                   : read_string_by_kernel(to, from, size);
    if (sta__unlikely(result < 0))
        clear(to, size);
    return result;
}

int64_t sta__copy_to_user(uint64_t to, const void *from, size_t size)
{
    void *target = (void *)(uintptr_t)to;

    if (!is_user(to, size))
        return -EFAULT;
    if (size == 0)
        return 0;
    if (sta__likely(faults_are_handled()))
        return sta__copy_bytes(target, from, size);
    return write_by_kernel(target, from, size);
}
