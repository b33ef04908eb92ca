cdef extern from "threads.h" nogil:
    ctypedef struct fnn_barrier:
        pass
    int fnn_thread_num()
    int fnn_num_threads()
    void fnn_barrier_wait(fnn_barrier* b, int n, int spins)
    double fnn_clock()

cdef int team_size(int n_threads) noexcept nogil
