#include "sessions.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct session *sessions;
static word count, room;

/* The kind of operation that a function begins or goes on with, or -1. */
static int operation_of(enum function function, int *begins) {
  static const struct {
    enum function first, last;
  } OPERATIONS[] = {{F_EncryptInit, F_EncryptFinal},
                    {F_DecryptInit, F_DecryptFinal},
                    {F_DigestInit, F_DigestFinal},
                    {F_SignInit, F_SignFinal},
                    {F_VerifyInit, F_VerifyFinal}};
  for (int which = 0; which < 5; which += 1) {
    *begins = function == OPERATIONS[which].first;
    if (function >= OPERATIONS[which].first && function <= OPERATIONS[which].last) return which;
  }
  return -1;
}

static struct session *find(word handle) {
  for (word at = 0; at < count; at += 1)
    if (sessions[at].handle == handle) return &sessions[at];
  return NULL;
}

static void add(word handle) {
  if (count == room) {
    room = room == 0 ? 64 : 2 * room;
    sessions = realloc(sessions, room * sizeof *sessions);
    if (sessions == NULL) abort();
  }
  sessions[count] = (struct session){.handle = handle};
  count += 1;
}

static void removed(word handle) {
  struct session *session = find(handle);
  if (session == NULL) return;
  count -= 1;
  *session = sessions[count];
}

static void note(const struct call *call) {
  int begins;
  int operation = operation_of(call->function, &begins);
  switch (call->function) {
  case F_OpenSession:
    add(*(const word *)call->arguments[4]);
    break;
  case F_CloseSession:
    removed(call->arguments[0]);
    break;
  case F_CloseAllSessions:
  case F_Finalize:
    count = 0;
    break;
  default: {
    struct session *session = operation >= 0 && begins ? find(call->arguments[0]) : NULL;
    const struct mechanism *mechanism = mechanism_of(call);
    if (session != NULL && mechanism != NULL) session->mechanisms[operation] = mechanism->type;
  }
  }
}

void note_session(const struct call *call) {
  pthread_mutex_lock(&lock);
  note(call);
  pthread_mutex_unlock(&lock);
}

word count_sessions(void) {
  pthread_mutex_lock(&lock);
  word now = count;
  pthread_mutex_unlock(&lock);
  return now;
}

word mechanism_in_use(const struct call *call) {
  const struct mechanism *mechanism = mechanism_of(call);
  if (mechanism != NULL) return mechanism->type;
  int begins;
  int operation = operation_of(call->function, &begins);
  if (operation < 0) return CK_UNAVAILABLE_INFORMATION;
  pthread_mutex_lock(&lock);
  const struct session *session = find(call->arguments[0]);
  word type = session == NULL ? CK_UNAVAILABLE_INFORMATION : session->mechanisms[operation];
  pthread_mutex_unlock(&lock);
  return type;
}

void set_iv(word handle, const byte *iv, word bytes) {
  pthread_mutex_lock(&lock);
  struct session *session = find(handle);
  if (session != NULL) {
    if (bytes > 0) memcpy(session->iv, iv, bytes);
    session->iv_bytes = bytes;
  }
  pthread_mutex_unlock(&lock);
}

word get_iv(word handle, byte iv[IV_LIMIT]) {
  pthread_mutex_lock(&lock);
  const struct session *session = find(handle);
  word bytes = session == NULL ? 0 : session->iv_bytes;
  if (bytes > 0) memcpy(iv, session->iv, bytes);
  pthread_mutex_unlock(&lock);
  return bytes;
}
