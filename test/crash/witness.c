/*
 * What a disk was promised. Loaded with LD_PRELOAD into the process under test, it writes one line
 * to $WITNESS_LOG for every change of a directory and every sync below $WITNESS_ROOT, in the order
 * in which they happened; testimony.ts makes of it what a power cut may leave. A file that is
 * unlinked or replaced is kept as a hard link in $WITNESS_GRAVES.
 *
 *   C <ino> <path>                    file created
 *   L <ino> <path>                    a further name for a file
 *   M <ino> <path>                    directory made
 *   U <grave or -> <path>             file unlinked
 *   X <path>                          directory removed
 *   R <grave or -> <from> <to>        renamed; what it replaced lies in the grave
 *   T <ino> <size> <path>             cut to a size (O_TRUNC, ftruncate)
 *   S <seen> <ino> <size> <path>      file synced: it covers the first <size> bytes
 *   D <seen> <path>                   directory synced
 *   W <what> <path>                   changed in a way that sizes do not tell of
 *
 * <seen> is the length of the log when the sync began: what stands before it had happened. Fields
 * are parted by tabs. Not followed are writes: LevelDB and Node append, so that what a sync covered
 * is a size. Whatever else they may do to bytes is told with W, for the test to refuse.
 *
 * $WITNESS_LIES=all: syncs succeed and nothing of them is told, as of a disk that lies;
 * $WITNESS_LIES=folders: the same for syncs of folders.
 * $WITNESS_SYNC_US=n: a sync takes n microseconds instead of what the machine's disk takes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int log_fd = -1;
static const char *root;
static size_t root_length;
static const char *graves;
/* 0: none; 1: those of folders; 2: all. */
static int lies;
static long sync_us = -1;
static atomic_int grave_number;
static pthread_once_t once = PTHREAD_ONCE_INIT;
/*
 * Directory changes one at a time, so that the order of lines is the order of changes, and a kill
 * leaves one change without its line at most.
 */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

#define REAL(result, name, ...) static result (*real_##name)(__VA_ARGS__)
REAL(int, fsync, int);
REAL(int, fdatasync, int);
REAL(int, open, const char *, int, ...);
REAL(int, openat, int, const char *, int, ...);
REAL(FILE *, fopen, const char *, const char *);
REAL(int, mkdir, const char *, mode_t);
REAL(int, rmdir, const char *);
REAL(int, rename, const char *, const char *);
REAL(int, unlink, const char *);
REAL(int, unlinkat, int, const char *, int);
REAL(int, ftruncate, int, off_t);
REAL(int, truncate, const char *, off_t);
REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
REAL(int, link, const char *, const char *);
REAL(int, symlink, const char *, const char *);
REAL(void *, mmap, void *, size_t, int, int, int, off_t);
REAL(ssize_t, sendfile, int, int, off_t *, size_t);
REAL(ssize_t, copy_file_range, int, off_t *, int, off_t *, size_t, unsigned);
REAL(int, fallocate, int, int, off_t, off_t);

#define FIND(name) real_##name = (typeof(real_##name))dlsym(RTLD_NEXT, #name)
#define FIND64(name) real_##name = (typeof(real_##name))dlsym(RTLD_NEXT, #name "64")

static void start(void) {
  FIND(fsync); FIND(fdatasync); FIND64(open); FIND64(openat); FIND64(fopen); FIND(mkdir);
  FIND(rmdir); FIND(rename); FIND(unlink); FIND(unlinkat); FIND64(ftruncate); FIND64(truncate);
  FIND64(pwrite); FIND(link); FIND(symlink); FIND64(mmap); FIND64(sendfile);
  FIND(copy_file_range); FIND64(fallocate);
  root = getenv("WITNESS_ROOT");
  graves = getenv("WITNESS_GRAVES");
  const char *lie = getenv("WITNESS_LIES");
  if (lie != NULL) lies = strcmp(lie, "folders") == 0 ? 1 : 2;
  const char *pause = getenv("WITNESS_SYNC_US");
  if (pause != NULL) sync_us = atol(pause);
  const char *name = getenv("WITNESS_LOG");
  if (root == NULL || graves == NULL || name == NULL) return;
  root_length = strlen(root);
  log_fd = real_open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int ready(void) {
  pthread_once(&once, start);
  return log_fd >= 0;
}

/* Below the root; of the root itself only its syncs are told. */
static int watched(const char *path) {
  return path != NULL && strncmp(path, root, root_length) == 0 && path[root_length] == '/';
}

/* One write per line: SIGKILL leaves whole lines. */
static void say(const char *format, ...) {
  int error = errno;
  char line[3 * PATH_MAX];
  va_list values;
  va_start(values, format);
  int length = vsnprintf(line, sizeof line, format, values);
  va_end(values);
  if (length > 0 && write(log_fd, line, (size_t)length) != length) abort();
  errno = error;
}

static int path_of(int fd, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  if (length < 0) return 0;
  path[length] = '\0';
  return 1;
}

/* The whole path of `name` below `folder`, as of openat. */
static int whole(int folder, const char *name, char *path) {
  if (name[0] == '/') return snprintf(path, PATH_MAX, "%s", name) < PATH_MAX;
  if (folder == AT_FDCWD || !path_of(folder, path)) return 0;
  size_t length = strlen(path);
  return snprintf(path + length, PATH_MAX - length, "/%s", name) < (int)(PATH_MAX - length);
}

static int watched_fd(int fd, char *path) {
  return ready() && path_of(fd, path) && watched(path);
}

/* --- syncs --- */

static int promise(int fd, int (*sync)(int)) {
  if (sync_us < 0) return sync(fd);
  if (sync_us > 0) usleep((useconds_t)sync_us);
  return 0;
}

static int synced(int fd, int (*sync)(int)) {
  char path[PATH_MAX];
  struct stat before;
  struct stat log;
  if (!ready() || !path_of(fd, path) || fstat(fd, &before) != 0) return sync(fd);
  if (!watched(path) && strcmp(path, root) != 0) return sync(fd);
  if (fstat(log_fd, &log) != 0) abort();
  int result = promise(fd, sync);
  if (result != 0 || lies == 2 || (lies == 1 && S_ISDIR(before.st_mode))) return result;
  long long seen = (long long)log.st_size;
  if (S_ISDIR(before.st_mode)) say("D\t%lld\t%s\n", seen, path);
  else
    say("S\t%lld\t%llu\t%lld\t%s\n", seen, (unsigned long long)before.st_ino,
        (long long)before.st_size, path);
  return result;
}

int fsync(int fd) {
  ready();
  return synced(fd, real_fsync);
}

int fdatasync(int fd) {
  ready();
  return synced(fd, real_fdatasync);
}

/* --- files opened --- */

struct opening {
  int watch;
  int existed;
  long long size;
};

static struct opening before_opening(const char *path) {
  struct stat found;
  struct opening opening = {.watch = 1};
  pthread_mutex_lock(&turn);
  opening.existed = lstat(path, &found) == 0;
  opening.size = opening.existed ? (long long)found.st_size : 0;
  return opening;
}

static void after_opening(struct opening opening, const char *path, int fd, int truncates,
                          int appends) {
  struct stat now;
  int error = errno;
  if (fd >= 0 && fstat(fd, &now) == 0 && S_ISREG(now.st_mode)) {
    unsigned long long ino = (unsigned long long)now.st_ino;
    if (!opening.existed) say("C\t%llu\t%s\n", ino, path);
    else if (truncates && opening.size > 0) say("T\t%llu\t0\t%s\n", ino, path);
    else if (!truncates && !appends && opening.size > 0) say("W\toverwrite\t%s\n", path);
  }
  errno = error;
  pthread_mutex_unlock(&turn);
}

static int changes(int flags) {
  return (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT) != 0;
}

#define MODE_OF(flags, mode)                                    \
  mode_t mode = 0;                                              \
  if (((flags) & (O_CREAT | __O_TMPFILE)) != 0) {               \
    va_list values;                                             \
    va_start(values, flags);                                    \
    mode = va_arg(values, mode_t);                              \
    va_end(values);                                             \
  }

static int opened(int folder, const char *name, int flags, mode_t mode) {
  char path[PATH_MAX];
  int at = folder == AT_FDCWD;
  if (!ready() || !changes(flags) || !whole(folder, name, path) || !watched(path))
    return at ? real_open(name, flags, mode) : real_openat(folder, name, flags, mode);
  struct opening opening = before_opening(path);
  int fd = at ? real_open(name, flags, mode) : real_openat(folder, name, flags, mode);
  after_opening(opening, path, fd, flags & O_TRUNC, flags & O_APPEND);
  return fd;
}

int open(const char *name, int flags, ...) {
  MODE_OF(flags, mode)
  return opened(AT_FDCWD, name, flags, mode);
}

int open64(const char *name, int flags, ...) {
  MODE_OF(flags, mode)
  return opened(AT_FDCWD, name, flags, mode);
}

int openat(int folder, const char *name, int flags, ...) {
  MODE_OF(flags, mode)
  return opened(folder, name, flags, mode);
}

int openat64(int folder, const char *name, int flags, ...) {
  MODE_OF(flags, mode)
  return opened(folder, name, flags, mode);
}

int creat(const char *name, mode_t mode) {
  return opened(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

static FILE *fopened(const char *name, const char *mode) {
  if (!ready() || !watched(name) || strcmp(mode, "r") == 0 || strcmp(mode, "rb") == 0)
    return real_fopen(name, mode);
  struct opening opening = before_opening(name);
  FILE *file = real_fopen(name, mode);
  int fd = file == NULL ? -1 : fileno(file);
  after_opening(opening, name, fd, mode[0] == 'w', mode[0] == 'a');
  return file;
}

FILE *fopen(const char *name, const char *mode) { return fopened(name, mode); }
FILE *fopen64(const char *name, const char *mode) { return fopened(name, mode); }

/* --- directories --- */

int mkdir(const char *path, mode_t mode) {
  if (!ready() || !watched(path)) return real_mkdir(path, mode);
  pthread_mutex_lock(&turn);
  int result = real_mkdir(path, mode);
  struct stat made;
  if (result == 0 && lstat(path, &made) == 0)
    say("M\t%llu\t%s\n", (unsigned long long)made.st_ino, path);
  pthread_mutex_unlock(&turn);
  return result;
}

static int removed_folder(int result, const char *path) {
  if (result == 0) say("X\t%s\n", path);
  return result;
}

int rmdir(const char *path) {
  if (!ready() || !watched(path)) return real_rmdir(path);
  pthread_mutex_lock(&turn);
  int result = removed_folder(real_rmdir(path), path);
  pthread_mutex_unlock(&turn);
  return result;
}

static void bury(const char *path, char *grave) {
  int number = atomic_fetch_add(&grave_number, 1);
  int error = errno;
  snprintf(grave, PATH_MAX, "%s/%d-%d", graves, (int)getpid(), number);
  if (real_link(path, grave) != 0) snprintf(grave, PATH_MAX, "-");
  errno = error;
}

/* What could not be taken away needs no grave. */
static void exhume(int result, const char *grave) {
  int error = errno;
  if (result != 0 && grave[0] != '-') real_unlink(grave);
  errno = error;
}

int rename(const char *from, const char *to) {
  if (!ready() || (!watched(from) && !watched(to))) return real_rename(from, to);
  char grave[PATH_MAX];
  pthread_mutex_lock(&turn);
  bury(to, grave);
  int result = real_rename(from, to);
  if (result == 0) say("R\t%s\t%s\t%s\n", grave, from, to);
  exhume(result, grave);
  pthread_mutex_unlock(&turn);
  return result;
}

int unlink(const char *path) {
  if (!ready() || !watched(path)) return real_unlink(path);
  char grave[PATH_MAX];
  pthread_mutex_lock(&turn);
  bury(path, grave);
  int result = real_unlink(path);
  if (result == 0) say("U\t%s\t%s\n", grave, path);
  exhume(result, grave);
  pthread_mutex_unlock(&turn);
  return result;
}

int unlinkat(int folder, const char *name, int flags) {
  char path[PATH_MAX];
  char grave[PATH_MAX];
  if (!ready() || !whole(folder, name, path) || !watched(path))
    return real_unlinkat(folder, name, flags);
  pthread_mutex_lock(&turn);
  int result;
  if ((flags & AT_REMOVEDIR) != 0) {
    result = removed_folder(real_unlinkat(folder, name, flags), path);
  } else {
    bury(path, grave);
    result = real_unlinkat(folder, name, flags);
    if (result == 0) say("U\t%s\t%s\n", grave, path);
    exhume(result, grave);
  }
  pthread_mutex_unlock(&turn);
  return result;
}

/* libc's own would call what can't be replaced. */
int remove(const char *path) {
  struct stat found;
  return lstat(path, &found) == 0 && S_ISDIR(found.st_mode) ? rmdir(path) : unlink(path);
}

/* --- bytes --- */

static int cut_to(int result, unsigned long long ino, long long before, off_t size,
                  const char *path) {
  if (result != 0 || size >= before) return result;
  say("T\t%llu\t%lld\t%s\n", ino, (long long)size, path);
  return result;
}

int ftruncate(int fd, off_t size) {
  char path[PATH_MAX];
  struct stat before;
  if (!watched_fd(fd, path) || fstat(fd, &before) != 0) return real_ftruncate(fd, size);
  int result = real_ftruncate(fd, size);
  return cut_to(result, (unsigned long long)before.st_ino, (long long)before.st_size, size, path);
}

int ftruncate64(int fd, off_t size) { return ftruncate(fd, size); }

int truncate(const char *path, off_t size) {
  struct stat before;
  if (!ready() || !watched(path) || stat(path, &before) != 0) return real_truncate(path, size);
  int result = real_truncate(path, size);
  return cut_to(result, (unsigned long long)before.st_ino, (long long)before.st_size, size, path);
}

int truncate64(const char *path, off_t size) { return truncate(path, size); }

static void overwriting(int fd, const char *what) {
  char path[PATH_MAX];
  if (watched_fd(fd, path)) say("W\t%s\t%s\n", what, path);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
  struct stat before;
  ready();
  /* At or after the end it appends. */
  if (log_fd >= 0 && fstat(fd, &before) == 0 && S_ISREG(before.st_mode) && at < before.st_size)
    overwriting(fd, "pwrite");
  return real_pwrite(fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t at) {
  return pwrite(fd, bytes, count, at);
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t at) {
  pthread_once(&once, start);
  if (fd >= 0 && (flags & MAP_SHARED) != 0 && (protection & PROT_WRITE) != 0)
    overwriting(fd, "mmap");
  return real_mmap(address, length, protection, flags, fd, at);
}

void *mmap64(void *address, size_t length, int protection, int flags, int fd, off_t at) {
  return mmap(address, length, protection, flags, fd, at);
}

int link(const char *from, const char *to) {
  if (!ready() || !watched(to)) return real_link(from, to);
  pthread_mutex_lock(&turn);
  int result = real_link(from, to);
  struct stat made;
  if (result == 0 && lstat(to, &made) == 0)
    say("L\t%llu\t%s\n", (unsigned long long)made.st_ino, to);
  pthread_mutex_unlock(&turn);
  return result;
}

int symlink(const char *target, const char *path) {
  if (ready() && watched(path)) say("W\tsymlink\t%s\n", path);
  return real_symlink(target, path);
}

ssize_t sendfile(int out, int in, off_t *at, size_t count) {
  ready();
  overwriting(out, "sendfile");
  return real_sendfile(out, in, at, count);
}

ssize_t sendfile64(int out, int in, off_t *at, size_t count) {
  return sendfile(out, in, at, count);
}

ssize_t copy_file_range(int in, off_t *from, int out, off_t *to, size_t count, unsigned flags) {
  ready();
  overwriting(out, "copy_file_range");
  return real_copy_file_range(in, from, out, to, count, flags);
}

int fallocate(int fd, int mode, off_t at, off_t length) {
  ready();
  overwriting(fd, "fallocate");
  return real_fallocate(fd, mode, at, length);
}

int fallocate64(int fd, int mode, off_t at, off_t length) { return fallocate(fd, mode, at, length); }
