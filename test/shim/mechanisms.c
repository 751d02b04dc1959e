#include "mechanisms.h"
#include <string.h>

enum { LIST_LIMIT = 1024 };

static bool contains(const word *list, word count, word wanted) {
  for (word at = 0; at < count; at += 1)
    if (list[at] == wanted) return true;
  return false;
}

word list_mechanisms(const struct call *call, const struct plan *plan) {
  word list[LIST_LIMIT + MECHANISM_LIMIT];
  word found = LIST_LIMIT, count = 0;
  word result = REAL(GetMechanismList, call->arguments[0], (word)list, (word)&found);
  if (result != CKR_OK) return result;
  for (word at = 0; at < found; at += 1)
    if (!is_hidden(plan, list[at])) list[count++] = list[at];
  for (int at = 0; at < plan->offer_count; at += 1)
    if (!contains(list, count, plan->offers[at].mechanism)) list[count++] = plan->offers[at].mechanism;
  word *size = (word *)call->arguments[2];
  word room = *size;
  *size = count;
  if (call->arguments[1] == 0) return CKR_OK;
  if (room < count) return CKR_BUFFER_TOO_SMALL;
  memcpy((word *)call->arguments[1], list, count * sizeof *list);
  return CKR_OK;
}

static word flags_of(enum behaviour behaviour) {
  return behaviour == GCM_IV_APPENDED || behaviour == GCM_IV_WRITTEN ? CKF_ENCRYPT | CKF_DECRYPT
                                                                      : CKF_WRAP | CKF_UNWRAP;
}

word describe_mechanism(const struct call *call, const struct plan *plan) {
  word type = call->arguments[1];
  if (is_hidden(plan, type)) return CKR_MECHANISM_INVALID;
  struct mechanism_info *info = (struct mechanism_info *)call->arguments[2];
  word result = call_real(call->function, call->arguments);
  const struct offer *offer = offer_of(plan, type);
  if (offer == NULL) return result;
  if (result == CKR_MECHANISM_INVALID) *info = (struct mechanism_info){16, 32, 0};
  info->flags |= flags_of(offer->behaviour);
  return result == CKR_MECHANISM_INVALID ? CKR_OK : result;
}
