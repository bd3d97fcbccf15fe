/*
 * A disk that fails when told to: loaded with LD_PRELOAD into the agent, it stands before every
 * write and sync of files below $FAILIO_ROOT. What it does stands in the file $FAILIO_CONTROL, which
 * is mapped, so that a test changes it while the agent runs. See fail-io.ts.
 *
 *   limited, free, total   bytes that may still be written, and what statfs tells; a truncation or
 *                          an unlink gives back: a small disk for who may not mount one
 *   writes, error          the next so many writes fail with this error
 *   syncs                  the next so many syncs fail with EIO. What they would have covered is
 *                          written to $FAILIO_LOG ("L <from> <to> <path>", and "U <path>" when that file is gone): a kernel that could not
 *                          write pages back keeps them in memory as if they were clean, so they are
 *                          read back until they are forgotten, and are not on the disk.
 *   readonly               nothing can be opened for writing, written, renamed or removed: EROFS
 *   part                   only below log/ (1) or state/ (2); 0 for all
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
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

struct control {
  atomic_llong limited, free, total, writes, error, syncs, part, failed_writes, failed_syncs, readonly;
};

#define FILES 8192
static struct covered { dev_t device; ino_t inode; off_t size; } files[FILES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct control *control;
static const char *root;
static size_t root_length;
static int log_fd = -1;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwrite64)(int, const void *, size_t, off64_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_truncate64)(const char *, off64_t);
static int (*real_unlink)(const char *);
static int (*real_unlinkat)(int, const char *, int);
static int (*real_statfs64)(const char *, struct statfs64 *);
static int (*real_open64)(const char *, int, ...);
static int (*real_rename)(const char *, const char *);

static void start(void) {
  real_write = dlsym(RTLD_NEXT, "write");
  real_writev = dlsym(RTLD_NEXT, "writev");
  real_pwrite64 = dlsym(RTLD_NEXT, "pwrite64");
  real_fsync = dlsym(RTLD_NEXT, "fsync");
  real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
  real_truncate64 = dlsym(RTLD_NEXT, "truncate64");
  real_unlink = dlsym(RTLD_NEXT, "unlink");
  real_unlinkat = dlsym(RTLD_NEXT, "unlinkat");
  real_statfs64 = dlsym(RTLD_NEXT, "statfs64");
  root = getenv("FAILIO_ROOT");
  const char *name = getenv("FAILIO_CONTROL");
  const char *log = getenv("FAILIO_LOG");
  if (root == NULL || name == NULL || log == NULL) return;
  root_length = strlen(root);
  real_open64 = dlsym(RTLD_NEXT, "open64");
  int fd = real_open64(name, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void *map = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  log_fd = real_open64(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (map != MAP_FAILED) control = map;
}

static int watched(const char *path) {
  if (control == NULL || strncmp(path, root, root_length) != 0) return 0;
  long long part = control->part;
  if (part == 1) return strncmp(path + root_length, "/log/", 5) == 0;
  if (part == 2) return strncmp(path + root_length, "/state/", 7) == 0;
  return 1;
}

static int path_of(int fd, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  if (length < 0) return 0;
  path[length] = '\0';
  return watched(path);
}

static int armed(void) {
  return control != NULL && (control->limited != 0 || control->writes > 0 || control->readonly != 0);
}

/* 1: this write must fail, with errno set. */
static int fails(int fd, size_t bytes) {
  char path[PATH_MAX];
  if (!armed() || !path_of(fd, path)) return 0;
  if (control->readonly != 0) {
    control->failed_writes++;
    errno = EROFS;
    return 1;
  }
  if (control->writes > 0) {
    if (bytes == 0) return 0;
    control->writes--;
    control->failed_writes++;
    errno = (int)control->error;
    return 1;
  }
  if (control->limited == 0) return 0;
  if (atomic_fetch_sub(&control->free, (long long)bytes) >= (long long)bytes) return 0;
  atomic_fetch_add(&control->free, (long long)bytes);
  control->failed_writes++;
  errno = ENOSPC;
  return 1;
}

static int frozen(const char *path) {
  if (control == NULL || control->readonly == 0 || !watched(path)) return 0;
  errno = EROFS;
  return 1;
}

static int opened(const char *path, int flags, mode_t mode) {
  pthread_once(&once, start);
  if (real_open64 == NULL) real_open64 = dlsym(RTLD_NEXT, "open64");
  if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) != 0 && frozen(path)) return -1;
  return real_open64(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(list, mode_t) : 0;
  va_end(list);
  return opened(path, flags, mode);
}

int open(const char *path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(list, mode_t) : 0;
  va_end(list);
  return opened(path, flags, mode);
}

/* The file that stood there is gone, and what became of its pages with it. */
static void gone(const char *path) {
  if (control == NULL || !watched(path)) return;
  int error = errno;
  char line[PATH_MAX + 8];
  int length = snprintf(line, sizeof line, "U %s\n", path);
  if (real_write(log_fd, line, (size_t)length) != length) abort();
  errno = error;
}

FILE *fopen64(const char *path, const char *mode) {
  static FILE *(*real)(const char *, const char *);
  pthread_once(&once, start);
  if (real == NULL) real = dlsym(RTLD_NEXT, "fopen64");
  if (mode[0] != 'r' && frozen(path)) return NULL;
  if (mode[0] == 'w') gone(path);
  return real(path, mode);
}

int rename(const char *from, const char *to) {
  pthread_once(&once, start);
  if (real_rename == NULL) real_rename = dlsym(RTLD_NEXT, "rename");
  if (frozen(to)) return -1;
  gone(from); /* LevelDB renames CURRENT and its LOG only */
  gone(to);
  return real_rename(from, to);
}

static void give_back(const char *path, off_t kept) {
  struct stat info;
  if (control == NULL || control->limited == 0 || !watched(path)) return;
  if (lstat(path, &info) != 0 || !S_ISREG(info.st_mode) || info.st_nlink != 1) return;
  if (info.st_size > kept) control->free += info.st_size - kept;
}

ssize_t write(int fd, const void *bytes, size_t count) {
  pthread_once(&once, start);
  return fails(fd, count) ? -1 : real_write(fd, bytes, count);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  pthread_once(&once, start);
  size_t bytes = 0;
  for (int at = 0; at < count; at++) bytes += parts[at].iov_len;
  return fails(fd, bytes) ? -1 : real_writev(fd, parts, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
  pthread_once(&once, start);
  return fails(fd, count) ? -1 : real_pwrite64(fd, bytes, count, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
  return pwrite64(fd, bytes, count, at);
}

#undef fwrite_unlocked
#undef fflush_unlocked

/* LevelDB writes through stdio, whose own write can't be stood before: its two doors are. */
size_t fwrite_unlocked(const void *bytes, size_t size, size_t count, FILE *file) {
  static size_t (*real)(const void *, size_t, size_t, FILE *);
  pthread_once(&once, start);
  if (real == NULL) real = dlsym(RTLD_NEXT, "fwrite_unlocked");
  if (!armed() || !fails(fileno(file), size * count)) return real(bytes, size, count, file);
  __fpurge(file); /* as glibc does when a write fails */
  return 0;
}

int fflush_unlocked(FILE *file) {
  static int (*real)(FILE *);
  pthread_once(&once, start);
  if (real == NULL) real = dlsym(RTLD_NEXT, "fflush_unlocked");
  /* What is pending was counted when it was given. */
  if (!armed() || control->limited != 0 || !fails(fileno(file), __fpending(file))) return real(file);
  __fpurge(file);
  return EOF;
}

static struct covered *covered_of(const struct stat *info) {
  for (int at = 0; at < FILES; at++) {
    struct covered *file = &files[at];
    if (file->inode == 0) {
      file->device = info->st_dev;
      file->inode = info->st_ino;
      file->size = 0;
    }
    if (file->inode == info->st_ino && file->device == info->st_dev) return file;
  }
  return NULL;
}

static int synced(int fd, int (*sync)(int)) {
  char path[PATH_MAX];
  struct stat info;
  if (control == NULL || !path_of(fd, path)) return sync(fd);
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) return sync(fd);
  pthread_mutex_lock(&lock);
  struct covered *file = covered_of(&info);
  /* A file that is shorter than what was covered is another one with an old number. */
  if (file != NULL && file->size > info.st_size) file->size = 0;
  int failing = control->syncs > 0;
  if (failing) {
    control->syncs--;
    control->failed_syncs++;
    char line[PATH_MAX + 64];
    off_t from = file == NULL ? 0 : file->size;
    int length = snprintf(line, sizeof line, "L %lld %lld %s\n", (long long)from, (long long)info.st_size, path);
    if (real_write(log_fd, line, (size_t)length) != length) abort();
  }
  pthread_mutex_unlock(&lock);
  if (failing) {
    errno = EIO;
    return -1;
  }
  int result = sync(fd);
  if (result == 0 && file != NULL) file->size = info.st_size;
  return result;
}

int fsync(int fd) {
  pthread_once(&once, start);
  return synced(fd, real_fsync);
}

int fdatasync(int fd) {
  pthread_once(&once, start);
  return synced(fd, real_fdatasync);
}

int truncate64(const char *path, off64_t size) {
  pthread_once(&once, start);
  give_back(path, size);
  return real_truncate64(path, size);
}

int truncate(const char *path, off_t size) { return truncate64(path, size); }

int ftruncate64(int fd, off64_t size) {
  pthread_once(&once, start);
  char path[PATH_MAX];
  if (control != NULL && path_of(fd, path)) give_back(path, size);
  int (*real)(int, off64_t) = dlsym(RTLD_NEXT, "ftruncate64");
  return real(fd, size);
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int unlink(const char *path) {
  pthread_once(&once, start);
  if (frozen(path)) return -1;
  give_back(path, 0);
  gone(path);
  return real_unlink(path);
}

int unlinkat(int folder, const char *name, int flags) {
  pthread_once(&once, start);
  char path[PATH_MAX];
  if (control != NULL && control->limited != 0) {
    if (name[0] == '/') give_back(name, 0);
    else if (path_of(folder, path)) {
      size_t length = strlen(path);
      snprintf(path + length, sizeof path - length, "/%s", name);
      give_back(path, 0);
    }
  }
  return real_unlinkat(folder, name, flags);
}

int statfs64(const char *path, struct statfs64 *info) {
  pthread_once(&once, start);
  int result = real_statfs64(path, info);
  if (result != 0 || control == NULL || control->limited == 0 || !watched(path)) return result;
  info->f_bsize = 4096;
  info->f_blocks = (unsigned long)(control->total / 4096);
  info->f_bfree = info->f_bavail = control->free < 0 ? 0 : (unsigned long)(control->free / 4096);
  return result;
}

int statfs(const char *path, struct statfs *info) {
  return statfs64(path, (struct statfs64 *)info);
}
