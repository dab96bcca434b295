/* SPDX-License-Identifier: MIT */
/* What the compiler offers under shorter names. */
#ifndef STA_BASE_COMPILER_H
#define STA_BASE_COMPILER_H

#define sta__likely(x)   __builtin_expect(!!(x), 1)
#define sta__unlikely(x) __builtin_expect(!!(x), 0)

/* Whether this is built for ThreadSanitizer. */
#if defined(__SANITIZE_THREAD__)
#    define STA__THREAD_SANITIZER 1
#elif defined(__has_feature)
#    if __has_feature(thread_sanitizer)
#        define STA__THREAD_SANITIZER 1
#    endif
#endif
#ifndef STA__THREAD_SANITIZER
#    define STA__THREAD_SANITIZER 0
#endif

#define STA__INLINE   static inline __attribute__((always_inline))
#define STA__NOINLINE __attribute__((noinline))

/* For declarations of variables: -fvisibility=hidden reaches definitions only, and without this
 * every access from position-independent code goes through the GOT. */
#define STA__HIDDEN __attribute__((visibility("hidden")))

/* Thread-local variables are read on the dispatch path: the default model of a shared object costs
 * a call of __tls_get_addr, this one a load. */
#define STA__THREAD_LOCAL __thread __attribute__((tls_model("initial-exec")))

#define STA__CACHE_LINE 64

/* Orders all earlier stores before all later loads. (Not atomic_thread_fence: ThreadSanitizer
 * refuses to be compiled with it.) */
STA__INLINE void sta__full_barrier(void)
{
    __asm__ volatile("mfence" : : : "memory");
}

/* Keeps the compiler from moving stores over it; the processor keeps stores in order by itself. */
STA__INLINE void sta__store_barrier(void)
{
    __asm__ volatile("" : : : "memory");
}

/* The thread pointer: the address of the thread control block, unique among the threads that live
 * (x86-64 psABI, TLS: %fs:0 holds the address of itself). */
STA__INLINE unsigned long sta__thread_pointer(void)
{
    unsigned long pointer;

    __asm__("mov %%fs:0, %0" : "=r"(pointer));
    return pointer;
}

#endif
