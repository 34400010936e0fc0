/**
 * Which sanitizer this is built with. gcc says so by names of its own, clang by __has_feature.
 *
 * For what a sanitizer cannot be asked to bear, and what helps it to see; never for behaviour.
 */
#ifndef DL_BASE_SANITIZE_H
#define DL_BASE_SANITIZE_H

#include <stdint.h>

#if defined(__has_feature)
#define DL_HAS_FEATURE(name) __has_feature(name)
#else
#define DL_HAS_FEATURE(name) 0
#endif

/** 1 with AddressSanitizer. */
#if defined(__SANITIZE_ADDRESS__) || DL_HAS_FEATURE(address_sanitizer)
#define DL_SANITIZE_ADDRESS 1
#else
#define DL_SANITIZE_ADDRESS 0
#endif

/** 1 with ThreadSanitizer. */
#if defined(__SANITIZE_THREAD__) || DL_HAS_FEATURE(thread_sanitizer)
#define DL_SANITIZE_THREAD 1
#else
#define DL_SANITIZE_THREAD 0
#endif

/** 1 with a sanitizer that keeps memory of its own beside the program's. */
#if DL_SANITIZE_ADDRESS || DL_SANITIZE_THREAD || DL_HAS_FEATURE(memory_sanitizer)
#define DL_SANITIZE_SHADOW 1
#else
#define DL_SANITIZE_SHADOW 0
#endif

/**
 * What this thread did until now comes before what another does after it takes over from `mark`.
 * For callbacks of a library that orders its threads by means which ThreadSanitizer does not see,
 * since the library is not built with it; everything else is ordered by locks and atomics.
 */
#if DL_SANITIZE_THREAD
void __tsan_release(void *mark);
void __tsan_acquire(void *mark);
#define DL_SANITIZE_HAND_OVER(mark) __tsan_release((void *)(uintptr_t)(mark))
#define DL_SANITIZE_TAKE_OVER(mark) __tsan_acquire((void *)(uintptr_t)(mark))
#else
#define DL_SANITIZE_HAND_OVER(mark) ((void)(mark))
#define DL_SANITIZE_TAKE_OVER(mark) ((void)(mark))
#endif

#endif
