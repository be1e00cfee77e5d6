/* Which files does this process, and what it starts, touch? A library for LD_PRELOAD on Linux.
 *
 * It stands between a program and the C library, passes every call on, and then appends a record
 * to a log. It is loaded into processes that know nothing of it, so it keeps to a few rules:
 *
 *   - It does nothing at all until it is switched on: by `nbpipe_trace_start`, or, in a process
 *     that a traced one started, by the variable NBPIPE_TRACE_FILE.
 *   - It has no locks and allocates nothing, so fork, vfork, signal handlers and static
 *     initialisers are as they were. It keeps errno. Its own system calls bypass its functions.
 *   - It keeps no descriptor open: somebody who closes all descriptors, and opens a file of his
 *     own under our number, would find our records in it. So the log is opened for each record,
 *     and there is one record for each kind of access to a path in a process.
 *   - The real call comes first; the path is looked at only when the system has accepted it.
 *
 * A record is: kind, path, NUL, more, NUL. Paths are absolute, and otherwise as they were given.
 *
 *   R  an existing file was opened for reading, or executed
 *   U  an existing file was opened for changing; more: its time of change and size before
 *   T  an existing file was replaced by an empty one
 *   C  a file was made
 *   N  nothing of that name was there
 *   S  something of that name was there
 *   L  the entries of a directory were listed
 *   D  a file was deleted, or a directory (d)
 *   M  a directory was made
 *   V  moved; more: the new path, which did exist; (v) which did not
 *   X  a connection to another machine
 *   B  a program was started that does not load this library
 *
 * Headers that declare open, stat and their like are left out on purpose: some versions of the C
 * library make them inline functions or macros.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <linux/fcntl.h>
#include <linux/stat.h>
#include <netinet/in.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#if !defined(__linux__) || !defined(__LP64__)
#error "This library is for 64-bit Linux."
#endif

#define FORMAT 1
#define EXPORT __attribute__((visibility("default")))
#define LONGEST_ENVIRONMENT 8192
#define ROUNDS 32
#define SLOTS (1u << 20)

static const char file_variable[] = "NBPIPE_TRACE_FILE=";
static const char skip_variable[] = "NBPIPE_TRACE_SKIP=";
static const char preload_variable[] = "LD_PRELOAD=";

static char log_entry[sizeof file_variable + PATH_MAX]; /* As they stand in an environment. */
static char skip_entry[16384];
static char own_path[PATH_MAX];

static atomic_int is_on;
static atomic_int has_lost;
static _Atomic uint64_t seen[SLOTS]; /* Pages of it exist once they are used. */
static uint64_t salt = 1;
static __thread int paused __attribute__((tls_model("initial-exec")));
static __thread int skips_listing __attribute__((tls_model("initial-exec")));
static __thread int looking_up __attribute__((tls_model("initial-exec")));

static inline int records(void)
{
    return atomic_load_explicit(&is_on, memory_order_acquire) && !paused;
}

/* ------------------------------------------------------------------------------ the real calls */

static void *find_real(_Atomic(void *) *slot, const char *name)
{
    void *found = atomic_load_explicit(slot, memory_order_relaxed);
    if (found == NULL && !looking_up) {
        looking_up = 1;
        found = dlsym(RTLD_NEXT, name);
        looking_up = 0;
        atomic_store_explicit(slot, found, memory_order_relaxed);
    }
    return found;
}

#define REAL(result, name, ...)                                                                  \
    static _Atomic(void *) slot_##name;                                                          \
    typedef result (*name##_function)(__VA_ARGS__);                                              \
    static inline name##_function real_##name(void)                                              \
    {                                                                                            \
        return (name##_function)find_real(&slot_##name, #name);                                  \
    }

/* What a call gives when the C library does not have it. */
static int missing(void)
{
    errno = ENOSYS;
    return -1;
}

/* ------------------------------------------------------------------------------------- the log */

static int is_new(char kind, const char *path)
{
    uint64_t hash = 14695981039346656037u ^ ((uint64_t)(unsigned char)kind * salt);
    for (const unsigned char *at = (const unsigned char *)path; *at; at++)
        hash = (hash ^ *at) * 1099511628211u;
    hash ^= hash >> 32;
    hash = hash ? hash : 1;
    for (unsigned round = 0; round < ROUNDS; round++) {
        _Atomic uint64_t *slot = &seen[(hash + round) & (SLOTS - 1)];
        uint64_t there = atomic_load_explicit(slot, memory_order_relaxed);
        if (there == 0 && atomic_compare_exchange_strong(slot, &there, hash))
            return 1;
        if (there == hash)
            return 0;
    }
    return 1; /* A full table costs records, and loses none. */
}

static int is_left_out(const char *path)
{
    const char *at = skip_entry + sizeof skip_variable - 1;
    while (*at) {
        size_t length = strcspn(at, ":");
        if (length && !strncmp(path, at, length) && (path[length] == '/' || !path[length]))
            return !strstr(path, "/../"); /* Else Python sorts it out. */
        at += length + (at[length] == ':');
    }
    return 0;
}

static void write_record(char kind, const char *path, const char *more)
{
    struct iovec parts[] = {
        {&kind, 1},
        {(void *)path, strlen(path) + 1},
        {(void *)more, strlen(more) + 1},
    };
    size_t length = 1 + parts[1].iov_len + parts[2].iov_len;
    long fd = syscall(SYS_openat, AT_FDCWD, log_entry + sizeof file_variable - 1,
                      O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0);
    if (fd < 0 || syscall(SYS_writev, fd, parts, 3) != (long)length)
        atomic_store(&has_lost, 1);
    if (fd >= 0)
        syscall(SYS_close, fd);
}

/* Make a path absolute; 0 when that cannot be done. */
static int join(char *to, size_t size, int directory, const char *path)
{
    size_t length = 0;
    if (path[0] != '/') {
        long got;
        if (directory == AT_FDCWD) {
            got = syscall(SYS_getcwd, to, size) - 1; /* It counts the NUL. */
        } else {
            char name[32] = "/proc/self/fd/", digits[12];
            int count = 0, at = 14;
            unsigned rest = (unsigned)directory;
            do
                digits[count++] = (char)('0' + rest % 10);
            while (rest /= 10);
            while (count)
                name[at++] = digits[--count];
            got = syscall(SYS_readlinkat, AT_FDCWD, name, to, size - 1);
        }
        if (got <= 0 || to[0] != '/')
            return 0;
        length = (size_t)got;
        if (path[0])
            to[length++] = '/';
    }
    size_t rest = strlen(path);
    if (length + rest >= size)
        return 0;
    memcpy(to + length, path, rest + 1);
    return 1;
}

static void note_absolute(char kind, const char *path, const char *more)
{
    if (!is_left_out(path) && is_new(kind, path))
        write_record(kind, path, more);
}

static __attribute__((noinline)) void note_relative(char kind, int directory, const char *path,
                                                    const char *more)
{
    char full[2 * PATH_MAX];
    if (join(full, sizeof full, directory, path))
        note_absolute(kind, full, more);
    else
        atomic_store(&has_lost, 1);
}

static void note(char kind, int directory, const char *path, const char *more)
{
    if (!records() || path == NULL || !path[0])
        return;
    int kept = errno;
    if (path[0] == '/')
        note_absolute(kind, path, more);
    else
        note_relative(kind, directory, path, more);
    errno = kept;
}

/* Note whether something was there, from the outcome of a call that only looked. */
static void note_look(int directory, const char *path, int succeeded)
{
    if (succeeded || errno == EACCES || errno == EEXIST || errno == EINVAL)
        note('S', directory, path, "");
    else if (errno == ENOENT || errno == ENOTDIR)
        note('N', directory, path, "");
}

static void note_descriptor(char kind, int descriptor)
{
    if (!records())
        return;
    int kept = errno;
    char full[PATH_MAX + 1];
    if (join(full, sizeof full, descriptor, ""))
        note_absolute(kind, full, "");
    errno = kept;
}

/* ------------------------------------------------------------------------- what a file was like */

struct before {
    int looked, existed;
    char facts[48];
};

static char *put_number(char *to, uint64_t number)
{
    char digits[20];
    int count = 0;
    do
        digits[count++] = (char)('0' + number % 10);
    while (number /= 10);
    while (count)
        *to++ = digits[--count];
    return to;
}

/* What is there before a call that may make or change it. */
static void look(struct before *before, int directory, const char *path)
{
    before->looked = before->existed = 0;
    if (!records())
        return;
    int kept = errno;
    struct statx found;
    before->looked = 1;
    if (!syscall(SYS_statx, directory, path, 0, STATX_MTIME | STATX_SIZE, &found)) {
        before->existed = 1;
        uint64_t time = (uint64_t)found.stx_mtime.tv_sec * 1000000000u + found.stx_mtime.tv_nsec;
        char *at = put_number(before->facts, time);
        *at++ = ' ';
        *put_number(at, found.stx_size) = 0;
    }
    errno = kept;
}

static void look_for_open(struct before *before, int directory, const char *path, int flags)
{
    before->looked = before->existed = 0;
    if (flags & (O_CREAT | O_TRUNC | O_WRONLY | O_RDWR))
        look(before, directory, path);
}

static void note_open(const struct before *before, int directory, const char *path, int flags,
                      int succeeded)
{
    int reads = !(flags & (O_TRUNC | O_WRONLY | O_RDWR));
    if (!succeeded) {
        if (errno != EINVAL) /* Here it means odd flags. */
            note_look(directory, path, 0);
    } else if (flags & O_PATH) {
        note('S', directory, path, "");
    } else if (flags & __O_TMPFILE) {
        return; /* A file without a name. */
    } else if (!before->looked || before->existed) {
        if (reads)
            note('R', directory, path, "");
        else if (flags & O_TRUNC)
            note('T', directory, path, "");
        else if (before->looked)
            note('U', directory, path, before->facts);
    } else {
        if (!(flags & (O_EXCL | O_TRUNC)))
            note('N', directory, path, ""); /* Had it been there, it would have been kept. */
        note('C', directory, path, "");
    }
}

/* ----------------------------------------------------------------------------------- open, fopen */

#define TAKES_MODE(flags) ((flags) & (O_CREAT | __O_TMPFILE))

#define OPEN(name)                                                                               \
    REAL(int, name, const char *, int, ...)                                                      \
    EXPORT int name(const char *path, int flags, ...)                                            \
    {                                                                                            \
        unsigned mode = 0;                                                                       \
        if (TAKES_MODE(flags)) {                                                                 \
            va_list rest;                                                                        \
            va_start(rest, flags);                                                               \
            mode = va_arg(rest, unsigned);                                                       \
            va_end(rest);                                                                        \
        }                                                                                        \
        struct before before;                                                                    \
        look_for_open(&before, AT_FDCWD, path, flags);                                           \
        name##_function real = real_##name();                                                    \
        int fd = real ? real(path, flags, mode)                                                  \
                      : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);                   \
        note_open(&before, AT_FDCWD, path, flags, fd >= 0);                                      \
        return fd;                                                                               \
    }

#define OPENAT(name)                                                                             \
    REAL(int, name, int, const char *, int, ...)                                                 \
    EXPORT int name(int directory, const char *path, int flags, ...)                             \
    {                                                                                            \
        unsigned mode = 0;                                                                       \
        if (TAKES_MODE(flags)) {                                                                 \
            va_list rest;                                                                        \
            va_start(rest, flags);                                                               \
            mode = va_arg(rest, unsigned);                                                       \
            va_end(rest);                                                                        \
        }                                                                                        \
        struct before before;                                                                    \
        look_for_open(&before, directory, path, flags);                                          \
        name##_function real = real_##name();                                                    \
        int fd = real ? real(directory, path, flags, mode)                                       \
                      : (int)syscall(SYS_openat, directory, path, flags, mode);                  \
        note_open(&before, directory, path, flags, fd >= 0);                                     \
        return fd;                                                                               \
    }

/* The C library's names for calls that were checked when they were compiled. */
#define CHECKED_OPEN(name)                                                                       \
    REAL(int, name, const char *, int)                                                           \
    EXPORT int name(const char *path, int flags)                                                 \
    {                                                                                            \
        struct before before;                                                                    \
        look_for_open(&before, AT_FDCWD, path, flags);                                           \
        name##_function real = real_##name();                                                    \
        int fd = real ? real(path, flags)                                                        \
                      : (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0);                      \
        note_open(&before, AT_FDCWD, path, flags, fd >= 0);                                      \
        return fd;                                                                               \
    }

#define CHECKED_OPENAT(name)                                                                     \
    REAL(int, name, int, const char *, int)                                                      \
    EXPORT int name(int directory, const char *path, int flags)                                  \
    {                                                                                            \
        struct before before;                                                                    \
        look_for_open(&before, directory, path, flags);                                          \
        name##_function real = real_##name();                                                    \
        int fd = real ? real(directory, path, flags)                                             \
                      : (int)syscall(SYS_openat, directory, path, flags, 0);                     \
        note_open(&before, directory, path, flags, fd >= 0);                                     \
        return fd;                                                                               \
    }

#define CREAT(name)                                                                              \
    REAL(int, name, const char *, unsigned)                                                      \
    EXPORT int name(const char *path, unsigned mode)                                             \
    {                                                                                            \
        const int flags = O_CREAT | O_WRONLY | O_TRUNC;                                          \
        struct before before;                                                                    \
        look_for_open(&before, AT_FDCWD, path, flags);                                           \
        name##_function real = real_##name();                                                    \
        int fd = real ? real(path, mode)                                                         \
                      : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);                   \
        note_open(&before, AT_FDCWD, path, flags, fd >= 0);                                      \
        return fd;                                                                               \
    }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
CHECKED_OPEN(__open_2)
CHECKED_OPEN(__open64_2)
CHECKED_OPENAT(__openat_2)
CHECKED_OPENAT(__openat64_2)
CREAT(creat)
CREAT(creat64)

static int flags_of(const char *mode)
{
    int flags = 0, extra = 0;
    for (const char *at = mode; *at && *at != ','; at++) {
        switch (*at) {
        case 'w':
            flags = O_WRONLY | O_CREAT | O_TRUNC;
            break;
        case 'a':
            flags = O_WRONLY | O_CREAT | O_APPEND;
            break;
        case '+':
            extra |= O_RDWR;
            break;
        case 'x':
            extra |= O_EXCL;
            break;
        }
    }
    return (extra & O_RDWR ? flags & ~O_WRONLY : flags) | extra;
}

#define FOPEN(name)                                                                              \
    REAL(void *, name, const char *, const char *)                                               \
    EXPORT void *name(const char *path, const char *mode)                                        \
    {                                                                                            \
        struct before before;                                                                    \
        look_for_open(&before, AT_FDCWD, path, flags_of(mode));                                  \
        name##_function real = real_##name();                                                    \
        void *file = real ? real(path, mode) : (missing(), NULL);                                \
        note_open(&before, AT_FDCWD, path, flags_of(mode), file != NULL);                        \
        return file;                                                                             \
    }

#define FREOPEN(name)                                                                            \
    REAL(void *, name, const char *, const char *, void *)                                       \
    EXPORT void *name(const char *path, const char *mode, void *stream)                          \
    {                                                                                            \
        struct before before = {0};                                                              \
        if (path)                                                                                \
            look_for_open(&before, AT_FDCWD, path, flags_of(mode));                              \
        name##_function real = real_##name();                                                    \
        void *file = real ? real(path, mode, stream) : (missing(), NULL);                        \
        if (path)                                                                                \
            note_open(&before, AT_FDCWD, path, flags_of(mode), file != NULL);                    \
        return file;                                                                             \
    }

FOPEN(fopen)
FOPEN(fopen64)
FREOPEN(freopen)
FREOPEN(freopen64)

/* ---------------------------------------------------------------------------- looking, not reading */

struct stat;

#define STAT(name, at_flags)                                                                     \
    REAL(int, name, const char *, struct stat *)                                                 \
    EXPORT int name(const char *path, struct stat *to)                                           \
    {                                                                                            \
        name##_function real = real_##name();                                                    \
        int status = real ? real(path, to)                                                       \
                          : (int)syscall(SYS_newfstatat, AT_FDCWD, path, to, at_flags);          \
        note_look(AT_FDCWD, path, !status);                                                      \
        return status;                                                                           \
    }

#define FSTATAT(name)                                                                            \
    REAL(int, name, int, const char *, struct stat *, int)                                       \
    EXPORT int name(int directory, const char *path, struct stat *to, int flags)                 \
    {                                                                                            \
        name##_function real = real_##name();                                                    \
        int status = real ? real(directory, path, to, flags)                                     \
                          : (int)syscall(SYS_newfstatat, directory, path, to, flags);            \
        note_look(directory, path, !status);                                                     \
        return status;                                                                           \
    }

/* Programs built with a C library before 2.33 call these. */
#define XSTAT(name, at_flags)                                                                    \
    REAL(int, name, int, const char *, struct stat *)                                            \
    EXPORT int name(int version, const char *path, struct stat *to)                              \
    {                                                                                            \
        name##_function real = real_##name();                                                    \
        int status = real ? real(version, path, to)                                              \
                          : (int)syscall(SYS_newfstatat, AT_FDCWD, path, to, at_flags);          \
        note_look(AT_FDCWD, path, !status);                                                      \
        return status;                                                                           \
    }

#define FXSTATAT(name)                                                                           \
    REAL(int, name, int, int, const char *, struct stat *, int)                                  \
    EXPORT int name(int version, int directory, const char *path, struct stat *to, int flags)    \
    {                                                                                            \
        name##_function real = real_##name();                                                    \
        int status = real ? real(version, directory, path, to, flags)                            \
                          : (int)syscall(SYS_newfstatat, directory, path, to, flags);            \
        note_look(directory, path, !status);                                                     \
        return status;                                                                           \
    }

#define ACCESS(name)                                                                             \
    REAL(int, name, const char *, int)                                                           \
    EXPORT int name(const char *path, int mode)                                                  \
    {                                                                                            \
        name##_function real = real_##name();                                                    \
        int status = real ? real(path, mode)                                                     \
                          : (int)syscall(SYS_faccessat, AT_FDCWD, path, mode);                   \
        note_look(AT_FDCWD, path, !status);                                                      \
        return status;                                                                           \
    }

STAT(stat, 0)
STAT(stat64, 0)
STAT(lstat, AT_SYMLINK_NOFOLLOW)
STAT(lstat64, AT_SYMLINK_NOFOLLOW)
FSTATAT(fstatat)
FSTATAT(fstatat64)
XSTAT(__xstat, 0)
XSTAT(__xstat64, 0)
XSTAT(__lxstat, AT_SYMLINK_NOFOLLOW)
XSTAT(__lxstat64, AT_SYMLINK_NOFOLLOW)
FXSTATAT(__fxstatat)
FXSTATAT(__fxstatat64)
ACCESS(access)
ACCESS(eaccess)
ACCESS(euidaccess)

REAL(int, faccessat, int, const char *, int, int)
EXPORT int faccessat(int directory, const char *path, int mode, int flags)
{
    faccessat_function real = real_faccessat();
    int status = real ? real(directory, path, mode, flags) : missing();
    note_look(directory, path, !status);
    return status;
}

REAL(int, statx, int, const char *, int, unsigned, struct statx *)
EXPORT int statx(int directory, const char *path, int flags, unsigned mask, struct statx *to)
{
    statx_function real = real_statx();
    int status = real ? real(directory, path, flags, mask, to)
                      : (int)syscall(SYS_statx, directory, path, flags, mask, to);
    note_look(directory, path, !status);
    return status;
}

REAL(ssize_t, readlink, const char *, char *, size_t)
EXPORT ssize_t readlink(const char *path, char *to, size_t size)
{
    readlink_function real = real_readlink();
    ssize_t length = real ? real(path, to, size)
                          : (ssize_t)syscall(SYS_readlinkat, AT_FDCWD, path, to, size);
    note_look(AT_FDCWD, path, length >= 0);
    return length;
}

REAL(ssize_t, readlinkat, int, const char *, char *, size_t)
EXPORT ssize_t readlinkat(int directory, const char *path, char *to, size_t size)
{
    readlinkat_function real = real_readlinkat();
    ssize_t length = real ? real(directory, path, to, size)
                          : (ssize_t)syscall(SYS_readlinkat, directory, path, to, size);
    note_look(directory, path, length >= 0);
    return length;
}

REAL(char *, realpath, const char *, char *)
EXPORT char *realpath(const char *path, char *to)
{
    realpath_function real = real_realpath();
    char *found = real ? real(path, to) : (missing(), NULL);
    note_look(AT_FDCWD, path, found != NULL);
    return found;
}

REAL(char *, __realpath_chk, const char *, char *, size_t)
EXPORT char *__realpath_chk(const char *path, char *to, size_t size)
{
    __realpath_chk_function real = real___realpath_chk();
    char *found = real ? real(path, to, size) : (missing(), NULL);
    note_look(AT_FDCWD, path, found != NULL);
    return found;
}

REAL(char *, canonicalize_file_name, const char *)
EXPORT char *canonicalize_file_name(const char *path)
{
    canonicalize_file_name_function real = real_canonicalize_file_name();
    char *found = real ? real(path) : (missing(), NULL);
    note_look(AT_FDCWD, path, found != NULL);
    return found;
}

/* --------------------------------------------------------------------------------- directories */

REAL(void *, opendir, const char *)
EXPORT void *opendir(const char *path)
{
    opendir_function real = real_opendir();
    void *directory = real ? real(path) : (missing(), NULL);
    if (skips_listing)
        skips_listing = 0;
    else if (directory)
        note('L', AT_FDCWD, path, "");
    else
        note_look(AT_FDCWD, path, 0);
    return directory;
}

REAL(void *, fdopendir, int)
EXPORT void *fdopendir(int descriptor)
{
    fdopendir_function real = real_fdopendir();
    void *directory = real ? real(descriptor) : (missing(), NULL);
    if (directory)
        note_descriptor('L', descriptor);
    return directory;
}

#define SCANDIR(name)                                                                            \
    REAL(int, name, const char *, void *, void *, void *)                                        \
    EXPORT int name(const char *path, void *entries, void *filter, void *compare)                \
    {                                                                                            \
        name##_function real = real_##name();                                                    \
        int count = real ? real(path, entries, filter, compare) : missing();                     \
        if (count >= 0)                                                                          \
            note('L', AT_FDCWD, path, "");                                                       \
        else                                                                                     \
            note_look(AT_FDCWD, path, 0);                                                        \
        return count;                                                                            \
    }

SCANDIR(scandir)
SCANDIR(scandir64)

REAL(int, mkdirat, int, const char *, unsigned)
EXPORT int mkdirat(int directory, const char *path, unsigned mode)
{
    mkdirat_function real = real_mkdirat();
    int status = real ? real(directory, path, mode)
                      : (int)syscall(SYS_mkdirat, directory, path, mode);
    if (status)
        note_look(directory, path, 0);
    else
        note('M', directory, path, "");
    return status;
}

REAL(int, mkdir, const char *, unsigned)
EXPORT int mkdir(const char *path, unsigned mode)
{
    mkdir_function real = real_mkdir();
    int status = real ? real(path, mode) : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    if (status)
        note_look(AT_FDCWD, path, 0);
    else
        note('M', AT_FDCWD, path, "");
    return status;
}

REAL(char *, mkdtemp, char *)
EXPORT char *mkdtemp(char *template)
{
    mkdtemp_function real = real_mkdtemp();
    char *made = real ? real(template) : (missing(), NULL);
    if (made)
        note('M', AT_FDCWD, made, "");
    return made;
}

#define MKSTEMP(name, parameters, arguments)                                                     \
    EXPORT int name parameters                                                                   \
    {                                                                                            \
        name##_function real = real_##name();                                                    \
        int fd = real ? real arguments : missing();                                              \
        if (fd >= 0)                                                                             \
            note('C', AT_FDCWD, template, "");                                                   \
        return fd;                                                                               \
    }

REAL(int, mkstemp, char *)
REAL(int, mkstemp64, char *)
REAL(int, mkostemp, char *, int)
REAL(int, mkostemp64, char *, int)
REAL(int, mkstemps, char *, int)
REAL(int, mkstemps64, char *, int)
REAL(int, mkostemps, char *, int, int)
REAL(int, mkostemps64, char *, int, int)
MKSTEMP(mkstemp, (char *template), (template))
MKSTEMP(mkstemp64, (char *template), (template))
MKSTEMP(mkostemp, (char *template, int flags), (template, flags))
MKSTEMP(mkostemp64, (char *template, int flags), (template, flags))
MKSTEMP(mkstemps, (char *template, int ending), (template, ending))
MKSTEMP(mkstemps64, (char *template, int ending), (template, ending))
MKSTEMP(mkostemps, (char *template, int ending, int flags), (template, ending, flags))
MKSTEMP(mkostemps64, (char *template, int ending, int flags), (template, ending, flags))

/* -------------------------------------------------------------------- deleting, moving, changing */

static void note_deletion(char kind, int directory, const char *path, int status)
{
    if (!status)
        note(kind, directory, path, "");
    else if (errno == ENOENT || errno == ENOTDIR)
        note('N', directory, path, "");
}

REAL(int, unlink, const char *)
EXPORT int unlink(const char *path)
{
    unlink_function real = real_unlink();
    int status = real ? real(path) : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    note_deletion('D', AT_FDCWD, path, status);
    return status;
}

REAL(int, unlinkat, int, const char *, int)
EXPORT int unlinkat(int directory, const char *path, int flags)
{
    unlinkat_function real = real_unlinkat();
    int status = real ? real(directory, path, flags)
                      : (int)syscall(SYS_unlinkat, directory, path, flags);
    note_deletion(flags & AT_REMOVEDIR ? 'd' : 'D', directory, path, status);
    return status;
}

REAL(int, remove, const char *)
EXPORT int remove(const char *path)
{
    remove_function real = real_remove();
    int status = real ? real(path) : missing();
    note_deletion('D', AT_FDCWD, path, status);
    return status;
}

REAL(int, rmdir, const char *)
EXPORT int rmdir(const char *path)
{
    rmdir_function real = real_rmdir();
    int status = real ? real(path) : (int)syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
    note_deletion('d', AT_FDCWD, path, status);
    return status;
}

static __attribute__((noinline)) void note_move(int from, const char *old, int to,
                                                const char *new, int existed)
{
    if (!records())
        return;
    int kept = errno;
    char full_old[2 * PATH_MAX], full_new[2 * PATH_MAX];
    /* Never left out or taken for known: a path may be moved to again and again. */
    if (join(full_old, sizeof full_old, from, old) && join(full_new, sizeof full_new, to, new))
        write_record(existed ? 'V' : 'v', full_old, full_new);
    else
        atomic_store(&has_lost, 1);
    errno = kept;
}

#define MOVE(name, parameters, arguments, from, to)                                              \
    EXPORT int name parameters                                                                   \
    {                                                                                            \
        struct before before;                                                                    \
        look(&before, to, new);                                                                  \
        name##_function real = real_##name();                                                    \
        int status = real ? real arguments : missing();                                          \
        if (!status)                                                                             \
            note_move(from, old, to, new, before.existed);                                       \
        else if (errno == ENOENT)                                                                \
            note('N', from, old, "");                                                            \
        return status;                                                                           \
    }

REAL(int, rename, const char *, const char *)
REAL(int, renameat, int, const char *, int, const char *)
REAL(int, renameat2, int, const char *, int, const char *, unsigned)
MOVE(rename, (const char *old, const char *new), (old, new), AT_FDCWD, AT_FDCWD)
MOVE(renameat, (int from, const char *old, int to, const char *new), (from, old, to, new), from,
     to)
MOVE(renameat2, (int from, const char *old, int to, const char *new, unsigned flags),
     (from, old, to, new, flags), from, to)

#define TRUNCATE(name)                                                                           \
    REAL(int, name, const char *, long)                                                          \
    EXPORT int name(const char *path, long size)                                                 \
    {                                                                                            \
        struct before before;                                                                    \
        look(&before, AT_FDCWD, path);                                                           \
        name##_function real = real_##name();                                                    \
        int status = real ? real(path, size) : (int)syscall(SYS_truncate, path, size);           \
        if (status)                                                                              \
            note_look(AT_FDCWD, path, 0);                                                        \
        else if (before.existed)                                                                 \
            note('U', AT_FDCWD, path, before.facts);                                             \
        return status;                                                                           \
    }

TRUNCATE(truncate)
TRUNCATE(truncate64)

static void note_link(int from, const char *old, int to, const char *new, int status)
{
    if (!status) {
        note('R', from, old, "");
        note('C', to, new, "");
    } else if (errno == EEXIST) {
        note('S', to, new, "");
    }
}

REAL(int, link, const char *, const char *)
EXPORT int link(const char *old, const char *new)
{
    link_function real = real_link();
    int status = real ? real(old, new) : missing();
    note_link(AT_FDCWD, old, AT_FDCWD, new, status);
    return status;
}

REAL(int, linkat, int, const char *, int, const char *, int)
EXPORT int linkat(int from, const char *old, int to, const char *new, int flags)
{
    linkat_function real = real_linkat();
    int status = real ? real(from, old, to, new, flags) : missing();
    note_link(from, old, to, new, status);
    return status;
}

REAL(int, symlink, const char *, const char *)
EXPORT int symlink(const char *target, const char *new)
{
    symlink_function real = real_symlink();
    int status = real ? real(target, new) : missing();
    if (!status || errno == EEXIST)
        note(status ? 'S' : 'C', AT_FDCWD, new, "");
    return status;
}

REAL(int, symlinkat, const char *, int, const char *)
EXPORT int symlinkat(const char *target, int directory, const char *new)
{
    symlinkat_function real = real_symlinkat();
    int status = real ? real(target, directory, new) : missing();
    if (!status || errno == EEXIST)
        note(status ? 'S' : 'C', directory, new, "");
    return status;
}

/* ------------------------------------------------------------------------------------- network */

REAL(int, connect, int, const struct sockaddr *, socklen_t)
EXPORT int connect(int socket, const struct sockaddr *address, socklen_t size)
{
    connect_function real = real_connect();
    int status = real ? real(socket, address, size) : missing();
    if ((status && errno == EFAULT) || !address || size < sizeof(struct sockaddr_in))
        return status;
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *to = (const struct sockaddr_in *)address;
        if (ntohl(to->sin_addr.s_addr) >> 24 != 127)
            note('X', AT_FDCWD, "/", "");
    } else if (address->sa_family == AF_INET6 && size >= sizeof(struct sockaddr_in6)) {
        const struct sockaddr_in6 *to = (const struct sockaddr_in6 *)address;
        if (!IN6_IS_ADDR_LOOPBACK(&to->sin6_addr))
            note('X', AT_FDCWD, "/", "");
    }
    return status;
}

/* ------------------------------------------------------------------------------ other programs */

/* Whether a program will not load this library: linked statically, for another machine, or with
 * more rights than ours. `head` is the beginning of its file. */
static int is_blind(const unsigned char *head, long length, unsigned mode)
{
    if (mode & 06000)
        return 1;
    if (length < (long)sizeof(Elf64_Ehdr) || memcmp(head, ELFMAG, SELFMAG))
        return 0;
    if (head[EI_CLASS] != ELFCLASS64)
        return 1;
    const Elf64_Ehdr *elf = (const Elf64_Ehdr *)head;
    for (unsigned at = 0; at < elf->e_phnum; at++) {
        uint64_t place = elf->e_phoff + (uint64_t)at * elf->e_phentsize;
        if (place + sizeof(Elf64_Phdr) > (uint64_t)length)
            return 0;
        if (((const Elf64_Phdr *)(head + place))->p_type == PT_INTERP)
            return 0;
    }
    return 1;
}

static int note_program(const char *path)
{
    _Alignas(8) unsigned char head[2048];
    long fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
    struct statx facts;
    if (fd < 0) {
        /* One that may be executed and not read exists all the same. */
        if (syscall(SYS_faccessat, AT_FDCWD, path, 1 /* X_OK */))
            return 0;
        note('R', AT_FDCWD, path, "");
        return 1;
    }
    long length = syscall(SYS_read, fd, head, sizeof head);
    int known = !syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_MODE, &facts);
    syscall(SYS_close, fd);
    note('R', AT_FDCWD, path, "");
    if (is_blind(head, length, known ? facts.stx_mode : 0)) {
        /* Even one that is left out as a file. */
        char full[2 * PATH_MAX];
        if (join(full, sizeof full, AT_FDCWD, path) && is_new('B', full))
            write_record('B', full, "");
    }
    return 1;
}

static const char *value_of(char *const *environment, const char *variable, size_t length)
{
    for (char *const *at = environment; at && *at; at++)
        if (!strncmp(*at, variable, length))
            return *at + length;
    return NULL;
}

static __attribute__((noinline)) void note_execution(const char *path, int searched,
                                                     char *const *environment)
{
    if (!records() || path == NULL || !path[0])
        return;
    int kept = errno;
    if (!searched || strchr(path, '/')) {
        note_program(path);
    } else {
        char full[PATH_MAX];
        const char *at = value_of(environment, "PATH=", 5);
        for (at = at ? at : "/bin:/usr/bin"; *at; at += *at == ':') {
            size_t length = strcspn(at, ":"), rest = strlen(path);
            if (length && length + rest + 2 <= sizeof full) {
                memcpy(full, at, length);
                full[length] = '/';
                memcpy(full + length + 1, path, rest + 1);
                if (!syscall(SYS_faccessat, AT_FDCWD, full, 1) && note_program(full))
                    break;
            }
            at += length;
        }
    }
    errno = kept;
}

/* A program is traced, too, also when it is given an environment of its own. The new one is built
 * on the caller's stack: the caller may be the child of a vfork. */
#define WITH_TRACING(environment, traced)                                                        \
    char *const *traced = (environment);                                                         \
    size_t traced##_count = 0;                                                                   \
    while (traced && traced[traced##_count])                                                     \
        traced##_count++;                                                                        \
    char *traced##_entries[records() && traced##_count < LONGEST_ENVIRONMENT ? traced##_count + 4 : 1]; \
    const char *traced##_preload = value_of(traced, preload_variable, sizeof preload_variable - 1); \
    char traced##_text[sizeof preload_variable + PATH_MAX +                                      \
                       (traced##_preload ? strlen(traced##_preload) : 0) + 1];                   \
    if (sizeof traced##_entries > sizeof(char *)) {                                              \
        fill_environment(traced##_entries, traced##_text, traced, traced##_preload);             \
        traced = traced##_entries;                                                               \
    }

static void fill_environment(char **to, char *text, char *const *from, const char *preload)
{
    for (; from && *from; from++)
        if (strncmp(*from, file_variable, sizeof file_variable - 1) &&
            strncmp(*from, skip_variable, sizeof skip_variable - 1) &&
            strncmp(*from, preload_variable, sizeof preload_variable - 1))
            *to++ = *from;
    strcpy(text, preload_variable);
    if (!preload || !strstr(preload, own_path)) {
        strcat(text, own_path);
        if (preload && *preload)
            strcat(text, ":");
    }
    if (preload)
        strcat(text, preload);
    *to++ = text;
    *to++ = log_entry;
    *to++ = skip_entry;
    *to = NULL;
}

REAL(int, execve, const char *, char *const *, char *const *)
REAL(int, execvpe, const char *, char *const *, char *const *)

static int execute(const char *path, char *const *arguments, char *const *environment)
{
    note_execution(path, 0, environment);
    WITH_TRACING(environment, traced)
    execve_function real = real_execve();
    return real ? real(path, arguments, traced)
                : (int)syscall(SYS_execve, path, arguments, traced);
}

static int execute_found(const char *name, char *const *arguments, char *const *environment)
{
    note_execution(name, 1, environ);
    WITH_TRACING(environment, traced)
    execvpe_function real = real_execvpe();
    return real ? real(name, arguments, traced) : missing();
}

EXPORT int execve(const char *path, char *const arguments[], char *const environment[])
{
    return execute(path, arguments, environment);
}

EXPORT int execv(const char *path, char *const arguments[])
{
    return execute(path, arguments, environ);
}

EXPORT int execvpe(const char *name, char *const arguments[], char *const environment[])
{
    return execute_found(name, arguments, environment);
}

EXPORT int execvp(const char *name, char *const arguments[])
{
    return execute_found(name, arguments, environ);
}

/* The arguments that a caller lists one by one, up to NULL, as an array. */
#define LISTED(first, arguments, rest)                                                           \
    va_list rest;                                                                                \
    size_t arguments##_count = 1;                                                                \
    va_start(rest, first);                                                                       \
    while (va_arg(rest, char *))                                                                 \
        arguments##_count++;                                                                     \
    va_end(rest);                                                                                \
    char *arguments[arguments##_count + 1];                                                      \
    arguments[0] = (char *)first;                                                                \
    va_start(rest, first);                                                                       \
    for (size_t at = 1; at <= arguments##_count; at++)                                           \
        arguments[at] = va_arg(rest, char *);

EXPORT int execl(const char *path, const char *first, ...)
{
    LISTED(first, arguments, rest)
    va_end(rest);
    return execute(path, arguments, environ);
}

EXPORT int execlp(const char *name, const char *first, ...)
{
    LISTED(first, arguments, rest)
    va_end(rest);
    return execute_found(name, arguments, environ);
}

EXPORT int execle(const char *path, const char *first, ...)
{
    LISTED(first, arguments, rest)
    char *const *environment = va_arg(rest, char *const *);
    va_end(rest);
    return execute(path, arguments, environment);
}

#define SPAWN(name, searched)                                                                    \
    REAL(int, name, pid_t *, const char *, const posix_spawn_file_actions_t *,                   \
         const posix_spawnattr_t *, char *const *, char *const *)                                \
    EXPORT int name(pid_t *process, const char *path, const posix_spawn_file_actions_t *actions, \
                    const posix_spawnattr_t *attributes, char *const arguments[],                \
                    char *const environment[])                                                   \
    {                                                                                            \
        note_execution(path, searched, environ);                                                 \
        WITH_TRACING(environment, traced)                                                        \
        name##_function real = real_##name();                                                    \
        return real ? real(process, path, actions, attributes, arguments, traced) : ENOSYS;      \
    }

SPAWN(posix_spawn, 0)
SPAWN(posix_spawnp, 1)

/* ------------------------------------------------------------------------------- on, off, pause */

static int begin(const char *log, const char *skip)
{
    if (!own_path[0] || !log || log[0] != '/' || strlen(log) >= PATH_MAX)
        return 0;
    atomic_store(&is_on, 0);
    strcpy(log_entry, file_variable);
    strcat(log_entry, log);
    strcpy(skip_entry, skip_variable);
    if (skip && strlen(skip) < sizeof skip_entry - sizeof skip_variable)
        strcat(skip_entry, skip);
    salt = salt * 6364136223846793005u + 1442695040888963407u; /* What was seen, is so no more. */
    atomic_store(&has_lost, 0);
    atomic_store_explicit(&is_on, 1, memory_order_release);
    return 1;
}

EXPORT int nbpipe_trace_format(void)
{
    return FORMAT;
}

/* Record from now on, in the existing file `log`, but nothing below the directories `skip`, a list
 * with colons. Gives 0 when that is not possible. */
EXPORT int nbpipe_trace_start(const char *log, const char *skip)
{
    return begin(log, skip);
}

EXPORT void nbpipe_trace_stop(void)
{
    atomic_store(&is_on, 0);
}

/* Whether a record could not be written. */
EXPORT int nbpipe_trace_has_lost(void)
{
    return atomic_load(&has_lost);
}

/* Leave out what this thread does until it is called with -1 as often as with 1. */
EXPORT void nbpipe_trace_pause(int by)
{
    paused += by;
}

/* Leave out the directory that this thread lists next. */
EXPORT void nbpipe_trace_skip_listing(void)
{
    skips_listing = 1;
}

__attribute__((constructor)) static void initialise(void)
{
    Dl_info found;
    int kept = errno;
    if (dladdr((void *)nbpipe_trace_format, &found) && found.dli_fname &&
        strlen(found.dli_fname) < sizeof own_path)
        strcpy(own_path, found.dli_fname);
    const char *log = value_of(environ, file_variable, sizeof file_variable - 1);
    if (log && log[0])
        begin(log, value_of(environ, skip_variable, sizeof skip_variable - 1));
    errno = kept;
}
