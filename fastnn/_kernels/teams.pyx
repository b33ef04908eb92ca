"""Which team of threads takes training steps fastest: found by timing them, since no bit of a result depends on it.

What a second thread costs differs tenfold between machines, and on one machine from hour to hour: two virtual CPUs
may sit on one core, share a cache or lie on two dies, where a meeting takes 60 or 600 ns and a cache line moves at
80 or at 25 GB/s, and neighbours come and go. On one such machine 784-512-512-10 (batch 128) took 1.78 ms a step with
rows divided between two threads, 1.19 ms with columns divided and 2.4 ms on one; 20-64-64-2 (batch 32) 10 us on one
thread and 18 us on two.
"""

cimport cython
from libc.math cimport INFINITY, pow


# Multiply-adds of a trial, about 0.2 ms of one core; how often a team gets one, the median of which counts.
cdef double TRIAL_WORK = 2e7
cdef int TURNS = 3
# Multiply-adds a thread of a step: nobody gains from a second thread below the first number (0.2 us), and most do
# above the second.
cdef double LEAST_WORK = 2e4
cdef double PLENTY_OF_WORK = 1e5
# With more multiply-adds a thread (1 ms) a step does not feel its meetings: fewer threads are not tried.
cdef double MUCH_WORK = 1e8
# Seconds of training to the next search: the first number after a search that changed the team (the first one of a
# process is often wrong: everything is cold), twice as long after each that did not, up to the second one; and at
# least this many times the seconds that the last search lost, which keeps searches under 1 %.
cdef double SOON = 0.05
cdef double LATE = 1.0
cdef double PATIENCE = 100.0
# A chosen team that has become this much slower than it was found is looked at as soon as if it had just been found.
cdef double SLOWER = 1.5
# The power that a handicap is taken to from search to search.
cdef double FORGETTING = 0.9
# Kernels of more bytes stay where they are: activations move between the cores instead.
cdef double MOVABLE = 1 << 20
# Rows that a group needs to fill its tiles.
cdef int TILE_ROWS = 8


cdef class Team:
    """`n_groups` x `n_lanes` threads."""

    def __init__(self, int n_groups, int n_lanes):
        self.n_groups, self.n_lanes, self.n_threads = n_groups, n_lanes, n_groups * n_lanes
        self.times, self.seconds, self.handicap = [], INFINITY, 1.0

    def __repr__(self):
        return f"Team({self.n_groups}, {self.n_lanes})"


def counts(int most):
    """Powers of two below `most`, and `most`."""
    return [*(1 << i for i in range((most - 1).bit_length())), most]


def shapes(int n_threads, Py_ssize_t rows, bint columns_first):
    """Teams of `n_threads`: as many groups as the rows fill, one group, and one between."""
    most = max(g for g in range(1, n_threads + 1) if n_threads % g == 0 and (g == 1 or g * TILE_ROWS <= rows))
    middle = max(g for g in range(1, most + 1) if n_threads % g == 0 and g * g <= most)
    groups = sorted({1, middle, most}, reverse=not columns_first)
    return [Team(g, n_threads // g) for g in groups]


cdef class Tuner:
    """Chooses the team for each stretch of steps of a program with `work` multiply-adds a step and kernels of
    `kernel_bytes`, among teams of at most `most` threads. Steps `forward` only change no kernels, so that nothing
    is gained from dividing columns where there are rows.

    A search begins with the number of threads that the work suggests, the next larger and the next smaller one, and
    goes on where steps get faster; then the best team takes the steps until the next search.
    """

    def __init__(self, int most, Py_ssize_t rows, double work, double kernel_bytes, bint forward=False):
        numbers = [n for n in counts(most) if n == 1 or work >= n * LEAST_WORK]
        self.levels = [shapes(n, rows, kernel_bytes > MOVABLE) for n in numbers]
        if forward:
            self.levels = [shapes(n, rows, False)[:1] for n in numbers]
        self.start = max(i for i, n in enumerate(numbers) if n == 1 or work >= n * PLENTY_OF_WORK)
        self.lowest = max(i for i, n in enumerate(numbers) if n == 1 or work >= n * MUCH_WORK)
        self.trial_steps = <Py_ssize_t>max(1.0, TRIAL_WORK / max(1.0, work))
        self.best = self.levels[self.start][0]
        self.interval, self.expected = SOON / 2, INFINITY

    cpdef Team choose(self, Py_ssize_t left):
        """The team for the next of `left` steps, of which it should take `steps`."""
        self.steps = left
        if self.fixed is not None:
            return self.fixed
        if len(self.levels) == 1 and len(self.levels[0]) == 1:
            return self.best
        # Threads that predict with one model share what is known.
        with cython.critical_section(self):
            return self.look(left)

    cdef Team look(self, Py_ssize_t left):
        if self.pending is None and self.busy >= self.next_search:
            # The first stretch does not count: after a rest caches and clocks are cold, and who came first would lose.
            self.remember()
            self.pending, self.searched, self.last_search, self.tried = [self.best], [], self.busy, 0
        elif self.pending is not None and not self.pending:
            self.extend()
        if self.pending:
            self.steps = min(left, self.trial_steps)
            return self.pending.pop()
        self.steps = <Py_ssize_t>min(<double>left, 1 + max(0.0, self.next_search - self.busy) / self.expected)
        return self.best

    cdef extend(self):
        """The search goes on with the neighbours of the best level so far, whose teams take turns, or ends."""
        cdef Team team
        top = len(self.levels) - 1
        best = min(self.searched, key=self.level_seconds) if self.searched else self.start
        near = (best, best + 1, best - 1)
        new = [level for level in near if self.lowest <= level <= top and level not in self.searched]
        teams = [team for level in new for team in self.levels[level]]
        for team in teams:
            team.times, team.seconds = [], INFINITY
        self.searched = self.searched + new
        if new:
            self.pending = teams * TURNS
            return
        before, self.pending = self.best, None
        self.best = min(self.levels[best], key=_seconds)
        self.interval = min(LATE, 2 * self.interval) if self.best is before else SOON
        self.expected = self.best.seconds
        lost = self.busy - self.last_search - self.tried * self.expected
        self.next_search = self.busy + max(self.interval, PATIENCE * lost if self.expected < INFINITY else 0.0)

    def level_seconds(self, int level):
        return min([_seconds(team) for team in self.levels[level]])

    cdef remember(self):
        """Teams of as many threads as were slower in practice than in their trials (beside busy cores a few steps
        take a time slice each) have that held against them, and less so from search to search."""
        cdef Team team
        cdef double slower = 1.0
        if self.settled_steps:
            slower = max(1.0, self.settled_seconds / (self.settled_steps * self.expected))
        for level in self.levels:
            for team in level:
                team.handicap = pow(team.handicap, FORGETTING)
                if team.n_threads >= self.best.n_threads:
                    team.handicap = max(team.handicap, slower)
        self.settled_seconds, self.settled_steps = 0.0, 0

    cpdef int note(self, Team team, Py_ssize_t steps, double seconds) except -1:
        """What choose() wants to know: how long `team` took for `steps`."""
        with cython.critical_section(self):
            self.busy += seconds
            if self.pending is not None:
                team.times.append(seconds / steps)
                team.seconds = sorted(team.times)[len(team.times) // 2]
                self.tried += steps
                return 0
            self.settled_seconds += seconds
            self.settled_steps += steps
            if seconds > SLOWER * self.expected * steps:
                self.next_search = min(self.next_search, self.last_search + SOON)
        return 0


def _seconds(Team team):
    return team.seconds * team.handicap
