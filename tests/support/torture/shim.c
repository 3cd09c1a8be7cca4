/* Counts the system calls of a process that change files below one folder, and at the N-th kills the process or fails.

   The library is preloaded, so that it sees the calls of Python and of SQLite alike. It does nothing until
   torture_arm() is called, or if the variable TORTURE has its arguments, a line for each. Calls on other files pass. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT, KILL, KILL_HALF, FAIL_ONCE, FAIL_ON };
enum { OTHER, WRITES, SPACE }; /* a write of bytes; another call that needs space on the disk */

struct report { /* shared with the parent, which reads it after the death of its child */
    _Atomic long count;
    _Atomic long hits;
    char log[1 << 20]; /* one line for each counted call: its name and file */
    _Atomic long length;
};

static struct report *report;
static char folder[PATH_MAX];
static size_t folder_length;
static _Atomic int armed;
static long target;
static int action, error_number, logs, pauses;

void torture_arm(const char *below, long number, int what, int number_of_error, int with_log) {
    snprintf(folder, sizeof folder, "%s", below);
    folder_length = strlen(folder);
    target = number, action = what, error_number = number_of_error, logs = with_log;
    report->count = report->hits = report->length = 0;
    armed = 1;
}

__attribute__((constructor)) static void start(void) {
    report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const char *given = getenv("TORTURE");
    char below[PATH_MAX];
    long number;
    int what, error;
    if (given && sscanf(given, "%4095[^\n]\n%ld\n%d\n%d", below, &number, &what, &error) == 4)
        torture_arm(below, number, what, error, 0);
}

void torture_disarm(void) { armed = 0, folder_length = 0; }
void torture_pause(void) { pauses++, armed = 0; }
void torture_resume(void) { armed = --pauses == 0 && folder_length > 0; }
long torture_count(void) { return report->count; }
long torture_hits(void) { return report->hits; }
long torture_log(char *into, long size) {
    long n = report->length < size ? report->length : size;
    memcpy(into, report->log, n);
    return n;
}

static int below(const char *path) {
    return !strncmp(path, folder, folder_length) && (path[folder_length] == '/' || !path[folder_length]);
}

static const char *path_at(int at, const char *path, char *whole) {
    char base[PATH_MAX];
    if (path[0] == '/') return path;
    if (at == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return path;
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        ssize_t n = readlink(link, base, sizeof base - 1);
        if (n < 0) return path;
        base[n] = 0;
    }
    snprintf(whole, PATH_MAX, "%s/%s", base, path);
    return whole;
}

static const char *path_of(int fd, char *whole) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, whole, PATH_MAX - 1);
    if (n < 0) return NULL;
    whole[n] = 0;
    return whole;
}

/* Returns what is to happen to a call: COUNT (carry it out), KILL_HALF (write half, then die) or FAIL_ONCE. */
static int judge(const char *name, const char *path, int kind) {
    if (!armed || !path || !below(path)) return COUNT;
    long number = ++report->count;
    if (logs) {
        char line[PATH_MAX + 32];
        int n = snprintf(line, sizeof line, "%s %s\n", name, path + folder_length);
        long at = report->length;
        if (at + n < (long)sizeof report->log) memcpy(report->log + at, line, n), report->length = at + n;
    }
    if (action == KILL && number == target) {
        report->hits++;
        kill(getpid(), SIGKILL);
    }
    if (action == KILL_HALF && number == target) {
        report->hits++;
        if (kind != WRITES) kill(getpid(), SIGKILL);
        return KILL_HALF;
    }
    if (action == FAIL_ONCE && number == target) {
        report->hits++;
        return FAIL_ONCE;
    }
    if (action == FAIL_ON && number >= target && target > 0 && kind != OTHER) {
        report->hits++;
        return number == target && kind == WRITES ? FAIL_ON : FAIL_ONCE; /* the first write gets half of its bytes in */
    }
    return COUNT;
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

#define REFUSE do { errno = error_number; return -1; } while (0)

#define WRITING(verdict, size) \
    if (verdict == FAIL_ONCE || (verdict == FAIL_ON && (size) < 2)) REFUSE; \
    size_t allowed = verdict == COUNT ? (size) : (size) / 2

#define DIE_AFTER(verdict, done) \
    if (verdict == KILL_HALF) kill(getpid(), SIGKILL); \
    return done

ssize_t write(int fd, const void *bytes, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t);
    char whole[PATH_MAX];
    int verdict = armed ? judge("write", path_of(fd, whole), WRITES) : COUNT;
    WRITING(verdict, size);
    ssize_t done = real(fd, bytes, allowed);
    DIE_AFTER(verdict, done);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    char whole[PATH_MAX];
    int verdict = armed ? judge("pwrite", path_of(fd, whole), WRITES) : COUNT;
    WRITING(verdict, size);
    ssize_t done = real(fd, bytes, allowed, at);
    DIE_AFTER(verdict, done);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) { return pwrite64(fd, bytes, size, at); }

ssize_t writev(int fd, const struct iovec *parts, int number) {
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    char whole[PATH_MAX];
    int verdict = armed ? judge("writev", path_of(fd, whole), SPACE) : COUNT;
    if (verdict == FAIL_ONCE) REFUSE;
    return real(fd, parts, number);
}

ssize_t sendfile64(int out, int in, off64_t *at, size_t size) {
    REAL(ssize_t, "sendfile64", int, int, off64_t *, size_t);
    char whole[PATH_MAX];
    int verdict = armed ? judge("sendfile", path_of(out, whole), SPACE) : COUNT;
    if (verdict == FAIL_ONCE) REFUSE;
    return real(out, in, at, size);
}

ssize_t sendfile(int out, int in, off_t *at, size_t size) { return sendfile64(out, in, (off64_t *)at, size); }

ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t size, unsigned flags) {
    REAL(ssize_t, "copy_file_range", int, off64_t *, int, off64_t *, size_t, unsigned);
    char whole[PATH_MAX];
    int verdict = armed ? judge("copy_file_range", path_of(out, whole), SPACE) : COUNT;
    if (verdict == FAIL_ONCE) REFUSE;
    return real(in, from, out, to, size, flags);
}

#define OF_FD(name, kind, ...) \
    char whole[PATH_MAX]; \
    if (armed && judge(name, path_of(fd, whole), kind) == FAIL_ONCE) REFUSE; \
    return real(__VA_ARGS__)

int fsync(int fd) {
    REAL(int, "fsync", int);
    OF_FD("fsync", OTHER, fd);
}

int fdatasync(int fd) {
    REAL(int, "fdatasync", int);
    OF_FD("fdatasync", OTHER, fd);
}

int ftruncate64(int fd, off64_t size) {
    REAL(int, "ftruncate64", int, off64_t);
    OF_FD("ftruncate", OTHER, fd, size);
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int fchmod(int fd, mode_t mode) {
    REAL(int, "fchmod", int, mode_t);
    OF_FD("fchmod", OTHER, fd, mode);
}

int posix_fallocate64(int fd, off64_t at, off64_t size) {
    REAL(int, "posix_fallocate64", int, off64_t, off64_t);
    char whole[PATH_MAX];
    if (armed && judge("fallocate", path_of(fd, whole), SPACE) == FAIL_ONCE) return error_number;
    return real(fd, at, size);
}

int posix_fallocate(int fd, off_t at, off_t size) { return posix_fallocate64(fd, at, size); }

#define OF_PATH(name, at, path, kind, ...) \
    char whole[PATH_MAX]; \
    if (armed && judge(name, path_at(at, path, whole), kind) == FAIL_ONCE) REFUSE; \
    return real(__VA_ARGS__)

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    OF_PATH("rename", AT_FDCWD, to, SPACE, from, to);
}

int renameat(int at, const char *from, int there, const char *to) {
    REAL(int, "renameat", int, const char *, int, const char *);
    OF_PATH("rename", there, to, SPACE, at, from, there, to);
}

int link(const char *from, const char *to) {
    REAL(int, "link", const char *, const char *);
    OF_PATH("link", AT_FDCWD, to, SPACE, from, to);
}

int linkat(int at, const char *from, int there, const char *to, int flags) {
    REAL(int, "linkat", int, const char *, int, const char *, int);
    OF_PATH("link", there, to, SPACE, at, from, there, to, flags);
}

int symlink(const char *from, const char *to) {
    REAL(int, "symlink", const char *, const char *);
    OF_PATH("symlink", AT_FDCWD, to, SPACE, from, to);
}

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    OF_PATH("unlink", AT_FDCWD, path, OTHER, path);
}

int unlinkat(int at, const char *path, int flags) {
    REAL(int, "unlinkat", int, const char *, int);
    OF_PATH("unlink", at, path, OTHER, at, path, flags);
}

int rmdir(const char *path) {
    REAL(int, "rmdir", const char *);
    OF_PATH("rmdir", AT_FDCWD, path, OTHER, path);
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, "mkdir", const char *, mode_t);
    OF_PATH("mkdir", AT_FDCWD, path, SPACE, path, mode);
}

int mkdirat(int at, const char *path, mode_t mode) {
    REAL(int, "mkdirat", int, const char *, mode_t);
    OF_PATH("mkdir", at, path, SPACE, at, path, mode);
}

int chmod(const char *path, mode_t mode) {
    REAL(int, "chmod", const char *, mode_t);
    OF_PATH("chmod", AT_FDCWD, path, OTHER, path, mode);
}

int utimensat(int at, const char *path, const struct timespec times[2], int flags) {
    REAL(int, "utimensat", int, const char *, const struct timespec *, int);

    OF_PATH("utime", at, path, OTHER, at, path, times, flags);
}

#define MODE(flags) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | __O_TMPFILE)) { \
        va_list more; \
        va_start(more, flags); \
        mode = va_arg(more, mode_t); \
        va_end(more); \
    }

static int creates(int flags) { return armed && flags & (O_CREAT | O_TRUNC); }

int open64(const char *path, int flags, ...) {
    REAL(int, "open64", const char *, int, ...);
    MODE(flags);
    char whole[PATH_MAX];
    if (creates(flags) && judge("open", path_at(AT_FDCWD, path, whole), SPACE) == FAIL_ONCE) REFUSE;
    return real(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    REAL(int, "open", const char *, int, ...);
    MODE(flags);
    char whole[PATH_MAX];
    if (creates(flags) && judge("open", path_at(AT_FDCWD, path, whole), SPACE) == FAIL_ONCE) REFUSE;
    return real(path, flags, mode);
}

int openat64(int at, const char *path, int flags, ...) {
    REAL(int, "openat64", int, const char *, int, ...);
    MODE(flags);
    char whole[PATH_MAX];
    if (creates(flags) && judge("open", path_at(at, path, whole), SPACE) == FAIL_ONCE) REFUSE;
    return real(at, path, flags, mode);
}

int openat(int at, const char *path, int flags, ...) {
    REAL(int, "openat", int, const char *, int, ...);
    MODE(flags);
    char whole[PATH_MAX];
    if (creates(flags) && judge("open", path_at(at, path, whole), SPACE) == FAIL_ONCE) REFUSE;
    return real(at, path, flags, mode);
}
