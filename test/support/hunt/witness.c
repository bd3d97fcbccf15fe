/*
 * What a disk was promised: loaded with LD_PRELOAD into the agent, writes one line to
 * $WITNESS_LOG for every successful fsync and fdatasync with the size it covered, and for every
 * rename and unlink, all below $WITNESS_ROOT. What a rename or an unlink takes away is kept as a
 * hard link in $WITNESS_GRAVES, so that a power cut can undo it. See power-cut.ts.
 *
 *   S <size> <path>            synced, covering the first <size> bytes
 *   D <path>                   directory synced
 *   R <grave or -> <old> <new> renamed
 *   U <grave or -> <path>      unlinked
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int log_fd = -1;
static const char *root;
static size_t root_length;
static const char *graves;
static atomic_int grave_number;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_rename)(const char *, const char *);
static int (*real_unlink)(const char *);
static int (*real_unlinkat)(int, const char *, int);

static void start(void) {
  real_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  real_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  real_rename = (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
  real_unlink = (int (*)(const char *))dlsym(RTLD_NEXT, "unlink");
  real_unlinkat = (int (*)(int, const char *, int))dlsym(RTLD_NEXT, "unlinkat");
  root = getenv("WITNESS_ROOT");
  graves = getenv("WITNESS_GRAVES");
  const char *name = getenv("WITNESS_LOG");
  if (root == NULL || graves == NULL || name == NULL) return;
  root_length = strlen(root);
  log_fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int watched(const char *path) {
  return log_fd >= 0 && path != NULL && strncmp(path, root, root_length) == 0;
}

/* One write per line: lines of several threads do not mix, and SIGKILL leaves whole lines. */
static void say(const char *line, int length) {
  if (length > 0 && write(log_fd, line, (size_t)length) != length) abort();
}

static int path_of(int fd, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  if (length < 0) return 0;
  path[length] = '\0';
  return 1;
}

static int synced(int fd, int (*sync)(int)) {
  char path[PATH_MAX];
  struct stat before;
  int known = log_fd >= 0 && path_of(fd, path) && watched(path) && fstat(fd, &before) == 0;
  int result = sync(fd);
  if (result != 0 || !known) return result;
  int error = errno;
  char line[PATH_MAX + 64];
  if (S_ISDIR(before.st_mode)) say(line, snprintf(line, sizeof line, "D %s\n", path));
  else say(line, snprintf(line, sizeof line, "S %lld %s\n", (long long)before.st_size, path));
  errno = error;
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

static void bury(const char *path, char *grave, size_t size) {
  int number = atomic_fetch_add(&grave_number, 1);
  snprintf(grave, size, "%s/%d-%d", graves, (int)getpid(), number);
  if (link(path, grave) != 0) snprintf(grave, size, "-");
}

int rename(const char *from, const char *to) {
  pthread_once(&once, start);
  if (!watched(to)) return real_rename(from, to);
  char grave[PATH_MAX];
  bury(to, grave, sizeof grave);
  int result = real_rename(from, to);
  int error = errno;
  char line[3 * PATH_MAX];
  if (result == 0) say(line, snprintf(line, sizeof line, "R %s %s %s\n", grave, from, to));
  errno = error;
  return result;
}

static void unlinked(const char *grave, const char *path) {
  int error = errno;
  char line[2 * PATH_MAX];
  say(line, snprintf(line, sizeof line, "U %s %s\n", grave, path));
  errno = error;
}

int unlink(const char *path) {
  pthread_once(&once, start);
  if (!watched(path)) return real_unlink(path);
  char grave[PATH_MAX];
  bury(path, grave, sizeof grave);
  int result = real_unlink(path);
  if (result == 0) unlinked(grave, path);
  return result;
}

int unlinkat(int folder, const char *name, int flags) {
  pthread_once(&once, start);
  char path[PATH_MAX];
  if (name[0] == '/') snprintf(path, sizeof path, "%s", name);
  else if (folder >= 0 && log_fd >= 0 && path_of(folder, path)) {
    size_t length = strlen(path);
    snprintf(path + length, sizeof path - length, "/%s", name);
  } else return real_unlinkat(folder, name, flags);
  if ((flags & AT_REMOVEDIR) != 0 || !watched(path)) return real_unlinkat(folder, name, flags);
  char grave[PATH_MAX];
  bury(path, grave, sizeof grave);
  int result = real_unlinkat(folder, name, flags);
  if (result == 0) unlinked(grave, path);
  return result;
}
