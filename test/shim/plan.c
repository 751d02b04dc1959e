#include "plan.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct plan *current;
/* Of the file when it was read last. */
static struct stat seen;

static bool has_changed(const struct stat *now) {
  return now->st_ino != seen.st_ino || now->st_size != seen.st_size || now->st_mtim.tv_sec != seen.st_mtim.tv_sec ||
         now->st_mtim.tv_nsec != seen.st_mtim.tv_nsec;
}

static void drop(struct plan *plan) {
  plan->holders -= 1;
  if (plan->holders == 0) free(plan);
}

static void read_anew(const char *path) {
  if (current != NULL) drop(current);
  current = calloc(1, sizeof *current);
  if (current == NULL) return;
  if (!parse_plan(path, current)) {
    free(current);
    current = NULL;
    return;
  }
  current->holders = 1;
}

struct plan *hold_plan(void) {
  const char *path = getenv("MODULE_SHIM_PLAN");
  struct stat now;
  if (path == NULL || stat(path, &now) != 0) {
    fprintf(stderr, "module shim: MODULE_SHIM_PLAN names no file\n");
    return NULL;
  }
  pthread_mutex_lock(&lock);
  if (has_changed(&now)) {
    seen = now;
    read_anew(path);
  }
  struct plan *plan = current;
  if (plan != NULL) plan->holders += 1;
  pthread_mutex_unlock(&lock);
  return plan;
}

void release_plan(struct plan *plan) {
  pthread_mutex_lock(&lock);
  drop(plan);
  pthread_mutex_unlock(&lock);
}

bool is_current(const struct plan *plan) {
  /* Looks at the file as well. */
  struct plan *now = hold_plan();
  if (now == NULL) return false;
  release_plan(now);
  return now == plan;
}

const struct offer *offer_of(const struct plan *plan, word mechanism) {
  for (int at = plan->offer_count - 1; at >= 0; at -= 1)
    if (plan->offers[at].mechanism == mechanism) return &plan->offers[at];
  return NULL;
}

bool is_hidden(const struct plan *plan, word mechanism) {
  if (offer_of(plan, mechanism) != NULL) return false;
  for (int at = 0; at < plan->hidden_count; at += 1)
    if (plan->hidden[at] == mechanism) return true;
  return false;
}
