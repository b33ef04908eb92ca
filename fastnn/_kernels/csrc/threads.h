/* Threads of one parallel region: OpenMP where it was compiled in, a barrier of our own, and what to do
 * about fork. */
#ifndef FASTNN_THREADS_H
#define FASTNN_THREADS_H
#include <stdint.h>
#include <time.h>
#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef _WIN32
#include <windows.h>
#else
#include <sched.h>
#endif
#ifdef __SSE2__
#include <xmmintrin.h>
#endif

static inline int fnn_thread_num(void)
{
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

static inline int fnn_num_threads(void)
{
#ifdef _OPENMP
    return omp_get_num_threads();
#else
    return 1;
#endif
}

/* A barrier for n threads, which wait for one word. Each adds itself to a counter; above FNN_FLAT threads there is
 * one for each of FNN_FLAT parts, and the last one of a part adds that to the root: n / 8 + 8 threads in turn write
 * a line instead of n. Spinning is bounded: a thread that waits longer than about 20 us (`spins` rounds) yields, so
 * that more threads than cores make progress. */
enum { FNN_FLAT = 8 };
typedef struct {
    _Alignas(64) int count;
} fnn_counter;
typedef struct {
    _Alignas(64) int generation;
    fnn_counter root, part[FNN_FLAT];
} fnn_barrier;

static inline void fnn_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline void fnn_yield(void)
{
#ifdef _WIN32
    SwitchToThread();
#else
    sched_yield();
#endif
}

/* A moment of waiting: the first *spins of a row keep the core, the others offer it. Returns whether it was offered. */
static inline int fnn_pause(int *spins)
{
    if (*spins > 0) {
        --*spins;
        fnn_relax();
        return 0;
    }
    fnn_yield();
    return 1;
}

/* Parts [thread * 8 / n] hold the threads [n * part / 8 rounded up, ...). */
static inline int fnn_part_begin(int n, int part) { return (n * part + FNN_FLAT - 1) / FNN_FLAT; }

/* Whether the caller is the last of `n` to arrive at the counter, which then begins anew. */
static inline int fnn_last_of(fnn_counter *c, int n)
{
    if (__atomic_add_fetch(&c->count, 1, __ATOMIC_ACQ_REL) < n) return 0;
    __atomic_store_n(&c->count, 0, __ATOMIC_RELAXED);
    return 1;
}

/* `thread`: which one of the n the caller is. */
static inline void fnn_barrier_wait(fnn_barrier *b, int thread, int n, int spins)
{
    if (n == 1) return;
    const int generation = __atomic_load_n(&b->generation, __ATOMIC_RELAXED), part = thread * FNN_FLAT / n;
    const int flat = n <= FNN_FLAT;
    if ((flat || fnn_last_of(&b->part[part], fnn_part_begin(n, part + 1) - fnn_part_begin(n, part))) &&
        fnn_last_of(&b->root, flat ? n : FNN_FLAT)) {
        __atomic_store_n(&b->generation, generation + 1, __ATOMIC_RELEASE);
        return;
    }
    while (__atomic_load_n(&b->generation, __ATOMIC_ACQUIRE) == generation) fnn_pause(&spins);
}

/* Whether all but the first thread wait at the barrier. */
static inline int fnn_others_arrived(const fnn_barrier *b, int n)
{
    const int root = __atomic_load_n(&b->root.count, __ATOMIC_ACQUIRE);
    if (n <= FNN_FLAT) return root == n - 1;
    return root == FNN_FLAT - 1 && __atomic_load_n(&b->part[0].count, __ATOMIC_ACQUIRE) == fnn_part_begin(n, 1) - 1;
}

/* The CPU that the thread runs on, or -1 where the system does not say. */
int fnn_cpu(void);
/* Moves the thread to a CPU that none of cpus[0 .. n) names, if it may run on such a one. */
void fnn_leave_cpus(const int *cpus, int n);

/* Results that would be subnormal become zeros, for this thread, until fnn_restore_subnormals(what this returned).
 * The moments of units that get no gradient decay into them, and processors take up to a hundred cycles for one.
 * Subnormal numbers in data keep their values (but on ARM, whose mode knows no difference). */
static inline uint64_t fnn_flush_subnormals(void)
{
    uint64_t mode = 0;
#if defined(__SSE2__)
    mode = _mm_getcsr();
    _mm_setcsr((unsigned)mode | 0x8000); /* flush to zero */
#elif defined(__aarch64__)
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    __asm__ volatile("msr fpcr, %0" : : "r"(mode | (UINT64_C(1) << 24)));
#endif
    return mode;
}

static inline void fnn_restore_subnormals(uint64_t mode)
{
#if defined(__SSE2__)
    _mm_setcsr((unsigned)mode);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(mode));
#else
    (void)mode;
#endif
}

/* Seconds since some moment; monotonic. */
static inline double fnn_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void fnn_guard_fork(void);     /* call once: makes parallel regions work in forked children */
int fnn_fork_broken(void);     /* whether this process is a child that must stay on one thread */
int fnn_openmp_version(void);  /* 0 without OpenMP */
int fnn_openmp_max_threads(void);
#endif
