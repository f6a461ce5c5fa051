/* Writes down, in order, what a process does to the files under one folder and what it says over sockets.
 *
 *     gcc -shared -fPIC -O2 -o write_log.so write_log.c
 *     WRITE_LOG=/elsewhere/log WRITE_LOG_ROOT=/folder LD_PRELOAD=./write_log.so program ...
 *
 * write_log.py reads the log and rebuilds what a disk may hold at any moment of it.
 *
 * Covers: what goes through the C library's dynamic symbols; that is what Python's `os` and `io` and a dynamically
 * linked libsqlite3 do. One lock is held over each call and its record, so the order of the records is the order of
 * the effects, also between threads.
 * Does not cover: stores into a mapped file (SQLite's -shm, which need not survive), stdio, a statically linked SQLite,
 * rights and times of files, names moved between folders. Whoever uses the log must compare what it rebuilds with the
 * real files: something missed here shows there.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#if !defined(__linux__) || UINTPTR_MAX != UINT64_MAX
#error "for 64-bit Linux, where off_t and off64_t are the same"
#endif

/* One record: this head, the first path, the second path, then `data_n` bytes. Little-endian, as the machine. */
struct head {
    uint32_t kind; /* see KINDS in write_log.py */
    uint32_t path_n;
    uint32_t other_n;
    uint32_t data_n;
    uint64_t file;   /* inode */
    uint64_t offset; /* of a write; the new size of a truncation */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;
static char root[PATH_MAX];
static size_t root_n;

__attribute__((constructor)) static void begin(void) {
    const char *log = getenv("WRITE_LOG"), *under = getenv("WRITE_LOG_ROOT");
    if (!log || !under || !realpath(under, root))
        return;
    root_n = strlen(root);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    /* A high number, out of the way of whoever closes low ones. */
    log_fd = fcntl(fd, F_DUPFD_CLOEXEC, 500);
    syscall(SYS_close, fd);
}

static int is_ours(const char *path) {
    return log_fd >= 0 && strncmp(path, root, root_n) == 0 && (path[root_n] == '/' || path[root_n] == 0);
}

static void put(char kind, const char *path, const char *other, uint64_t file, uint64_t offset, const void *data,
                size_t data_n) {
    struct head head = {(uint32_t)kind, (uint32_t)strlen(path), (uint32_t)strlen(other), (uint32_t)data_n, file, offset};
    struct iovec parts[4] = {{&head, sizeof head},
                             {(void *)path, head.path_n},
                             {(void *)other, head.other_n},
                             {(void *)data, data_n}};
    int kept = errno;
    if (syscall(SYS_writev, log_fd, parts, 4) != (long)(sizeof head + head.path_n + head.other_n + data_n))
        abort(); /* a log with a hole would prove nothing */
    errno = kept;
}

/* ---- names */

/* Tell whether `fd` is a file or folder of ours; fills in its path. */
static int names_ours(int fd, char *path, struct stat *about) {
    if (log_fd < 0 || fstat(fd, about) != 0 || !(S_ISREG(about->st_mode) || S_ISDIR(about->st_mode)))
        return 0;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n < 0)
        return 0;
    path[n] = 0;
    return is_ours(path);
}

/* Tell whether `name`, seen from folder `at`, is ours; fills in its path with the folder's links resolved. */
static int is_our_name(int at, const char *name, char *path) {
    char whole[PATH_MAX], folder[PATH_MAX];
    if (log_fd < 0 || !name)
        return 0;
    if (name[0] == '/') {
        snprintf(whole, sizeof whole, "%s", name);
    } else {
        char base[PATH_MAX], link[64];
        snprintf(link, sizeof link, at == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", at);
        ssize_t n = readlink(link, base, sizeof base - 1);
        if (n < 0)
            return 0;
        base[n] = 0;
        if (snprintf(whole, sizeof whole, "%s/%s", base, name) >= (int)sizeof whole)
            return 0;
    }
    char *slash = strrchr(whole, '/');
    *slash = 0;
    if (!realpath(slash == whole ? "/" : whole, folder))
        return 0;
    if (snprintf(path, PATH_MAX, "%s/%s", folder, slash + 1) >= PATH_MAX)
        return 0;
    return is_ours(path);
}

static uint64_t inode(const char *path) {
    struct stat about;
    return lstat(path, &about) == 0 ? about.st_ino : 0;
}

/* ---- opening */

static int opened(int at, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    struct stat about;
    pthread_mutex_lock(&lock);
    int ours = (flags & (O_CREAT | O_TRUNC)) && is_our_name(at, name, path);
    int was_there = ours && stat(path, &about) == 0;
    int fd = (int)syscall(SYS_openat, at, name, flags, mode);
    if (fd >= 0 && ours && fstat(fd, &about) == 0) {
        if (!was_there)
            put('C', path, "", about.st_ino, 0, "", 0);
        else if (flags & O_TRUNC)
            put('T', path, "", about.st_ino, 0, "", 0);
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE_OF(flags)                                                                                                 \
    mode_t mode = 0;                                                                                                   \
    if ((flags) & O_CREAT) {                                                                                           \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        mode = va_arg(more, mode_t);                                                                                   \
        va_end(more);                                                                                                  \
    }

int open(const char *name, int flags, ...) {
    MODE_OF(flags)
    return opened(AT_FDCWD, name, flags, mode);
}
int open64(const char *name, int flags, ...) {
    MODE_OF(flags)
    return opened(AT_FDCWD, name, flags, mode);
}
int openat(int at, const char *name, int flags, ...) {
    MODE_OF(flags)
    return opened(at, name, flags, mode);
}
int openat64(int at, const char *name, int flags, ...) {
    MODE_OF(flags)
    return opened(at, name, flags, mode);
}
/* What a fortified build calls when no mode is given. */
int __open_2(const char *name, int flags) { return opened(AT_FDCWD, name, flags, 0); }
int __open64_2(const char *name, int flags) { return opened(AT_FDCWD, name, flags, 0); }
int __openat_2(int at, const char *name, int flags) { return opened(at, name, flags, 0); }
int __openat64_2(int at, const char *name, int flags) { return opened(at, name, flags, 0); }
int creat(const char *name, mode_t mode) { return opened(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *name, mode_t mode) { return opened(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }

/* ---- what is said and heard: 'S' and 'H'; offset 1 for a Unix socket with a name, 2 for TCP, inode = connection */

static void put_talk(char kind, int fd, const void *data, ssize_t n) {
    struct stat about;
    struct sockaddr_storage name;
    socklen_t name_n = sizeof name;
    if (log_fd < 0 || n <= 0 || fstat(fd, &about) != 0 || !S_ISSOCK(about.st_mode) ||
        getsockname(fd, (struct sockaddr *)&name, &name_n) != 0)
        return;
    if (name.ss_family == AF_UNIX && name_n > sizeof(sa_family_t))
        put(kind, "", "", about.st_ino, 1, data, (size_t)n);
    else if (name.ss_family == AF_INET || name.ss_family == AF_INET6)
        put(kind, "", "", about.st_ino, 2, data, (size_t)n);
}

ssize_t sendto(int fd, const void *data, size_t n, int flags, const struct sockaddr *to, socklen_t to_n) {
    pthread_mutex_lock(&lock);
    ssize_t done = syscall(SYS_sendto, fd, data, n, flags, to, to_n);
    put_talk('S', fd, data, done);
    pthread_mutex_unlock(&lock);
    return done;
}
ssize_t send(int fd, const void *data, size_t n, int flags) { return sendto(fd, data, n, flags, NULL, 0); }

/* Outside the lock while it waits: what is heard can only be used after it is written down. */
ssize_t recvfrom(int fd, void *data, size_t n, int flags, struct sockaddr *from, socklen_t *from_n) {
    ssize_t done = syscall(SYS_recvfrom, fd, data, n, flags, from, from_n);
    if (!(flags & MSG_PEEK)) {
        pthread_mutex_lock(&lock);
        put_talk('H', fd, data, done);
        pthread_mutex_unlock(&lock);
    }
    return done;
}
ssize_t recv(int fd, void *data, size_t n, int flags) { return recvfrom(fd, data, n, flags, NULL, NULL); }

/* ---- writing */

static void put_written(int fd, off_t offset, const void *data, ssize_t done) {
    char path[PATH_MAX];
    struct stat about;
    if (done > 0 && names_ours(fd, path, &about))
        put('W', path, "", about.st_ino, (uint64_t)offset, data, (size_t)done);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t offset) {
    pthread_mutex_lock(&lock);
    ssize_t done = syscall(SYS_pwrite64, fd, data, n, offset);
    put_written(fd, offset, data, done);
    pthread_mutex_unlock(&lock);
    return done;
}
ssize_t pwrite64(int fd, const void *data, size_t n, off_t offset) { return pwrite(fd, data, n, offset); }

ssize_t write(int fd, const void *data, size_t n) {
    struct stat about;
    int waits = log_fd < 0 || fstat(fd, &about) != 0 || !S_ISREG(about.st_mode); /* a full pipe must not hold the lock */
    if (waits)
        return syscall(SYS_write, fd, data, n);
    pthread_mutex_lock(&lock);
    ssize_t done = syscall(SYS_write, fd, data, n);
    /* Afterwards the position is right for O_APPEND too. */
    if (done > 0)
        put_written(fd, (off_t)syscall(SYS_lseek, fd, 0, SEEK_CUR) - done, data, done);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int parts_n) {
    ssize_t all = 0;
    for (int i = 0; i < parts_n; i++) {
        ssize_t done = write(fd, parts[i].iov_base, parts[i].iov_len);
        if (done < 0)
            return all ? all : -1;
        all += done;
        if ((size_t)done < parts[i].iov_len)
            break;
    }
    return all;
}

int ftruncate(int fd, off_t size) {
    char path[PATH_MAX];
    struct stat about;
    pthread_mutex_lock(&lock);
    int failed = (int)syscall(SYS_ftruncate, fd, size);
    if (!failed && names_ours(fd, path, &about))
        put('T', path, "", about.st_ino, (uint64_t)size, "", 0);
    pthread_mutex_unlock(&lock);
    return failed;
}
int ftruncate64(int fd, off_t size) { return ftruncate(fd, size); }

/* Room that is set aside: a file that grows by zeros. */
int posix_fallocate(int fd, off_t offset, off_t n) {
    char path[PATH_MAX];
    struct stat before, about;
    pthread_mutex_lock(&lock);
    int ours = names_ours(fd, path, &before);
    int failed = syscall(SYS_fallocate, fd, 0, offset, n) == 0 ? 0 : errno;
    if (!failed && ours && fstat(fd, &about) == 0 && about.st_size > before.st_size)
        put('T', path, "", about.st_ino, (uint64_t)about.st_size, "", 0);
    pthread_mutex_unlock(&lock);
    return failed;
}
int posix_fallocate64(int fd, off_t offset, off_t n) { return posix_fallocate(fd, offset, n); }

/* ---- making it last: 'F' for a file, 'D' for a folder */

static int synced(int fd, long call) {
    char path[PATH_MAX];
    struct stat about;
    pthread_mutex_lock(&lock);
    int failed = (int)syscall(call, fd);
    if (!failed && names_ours(fd, path, &about))
        put(S_ISDIR(about.st_mode) ? 'D' : 'F', path, "", about.st_ino, 0, "", 0);
    pthread_mutex_unlock(&lock);
    return failed;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

/* ---- folders */

int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    char path[PATH_MAX], other[PATH_MAX];
    pthread_mutex_lock(&lock);
    int is_from = is_our_name(from_at, from, path), is_to = is_our_name(to_at, to, other);
    int failed = (int)syscall(SYS_renameat2, from_at, from, to_at, to, flags);
    if (!failed && (is_from || is_to))
        put('R', is_from ? path : from, is_to ? other : to, inode(is_to ? other : to), 0, "", 0);
    pthread_mutex_unlock(&lock);
    return failed;
}
int renameat(int from_at, const char *from, int to_at, const char *to) { return renameat2(from_at, from, to_at, to, 0); }
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
    char path[PATH_MAX], other[PATH_MAX];
    pthread_mutex_lock(&lock);
    int ours = is_our_name(from_at, from, path) && is_our_name(to_at, to, other);
    int failed = (int)syscall(SYS_linkat, from_at, from, to_at, to, flags);
    if (!failed && ours)
        put('L', path, other, inode(other), 0, "", 0);
    pthread_mutex_unlock(&lock);
    return failed;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int unlinkat(int at, const char *name, int flags) {
    char path[PATH_MAX];
    pthread_mutex_lock(&lock);
    int ours = is_our_name(at, name, path);
    uint64_t file = ours ? inode(path) : 0;
    int failed = (int)syscall(SYS_unlinkat, at, name, flags);
    if (!failed && ours)
        put('U', path, "", file, 0, "", 0);
    pthread_mutex_unlock(&lock);
    return failed;
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }

int mkdirat(int at, const char *name, mode_t mode) {
    char path[PATH_MAX];
    pthread_mutex_lock(&lock);
    int ours = is_our_name(at, name, path);
    int failed = (int)syscall(SYS_mkdirat, at, name, mode);
    if (!failed && ours)
        put('M', path, "", inode(path), 0, "", 0);
    pthread_mutex_unlock(&lock);
    return failed;
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }
