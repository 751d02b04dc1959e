#include "gcm.h"
#include "sessions.h"
#include <string.h>

/* CK_GCM_PARAMS (v2.40 curr. §2.12.3, and its errata): the IV, its bytes, in some headers its bits too, then the rest. */
struct gcm_parameters {
  byte *iv;
  word iv_bytes;
  word rest[4];
};
enum { WITH_BITS = 6 * sizeof(word), WITHOUT_BITS = 5 * sizeof(word) };

static bool is_zeroed(const struct gcm_parameters *parameters, word bytes) {
  for (word at = 0; at < bytes; at += 1)
    if (parameters->iv[at] != 0) return false;
  return true;
}

word begin_gcm(const struct call *call, const struct offer *offer) {
  const struct mechanism *given = mechanism_of(call);
  word session = session_of(call);
  struct gcm_parameters parameters;
  if (given->parameter_size != WITH_BITS && given->parameter_size != WITHOUT_BITS) return CKR_MECHANISM_PARAM_INVALID;
  memcpy(&parameters, given->parameter, given->parameter_size);
  byte iv[IV_LIMIT];
  word bytes = offer->iv_bytes;
  word result = REAL(GenerateRandom, session, (word)iv, bytes);
  if (result != CKR_OK) return result;
  if (offer->behaviour == GCM_IV_WRITTEN) {
    if (parameters.iv == NULL || parameters.iv_bytes != bytes || !is_zeroed(&parameters, bytes))
      return CKR_MECHANISM_PARAM_INVALID;
    memcpy(parameters.iv, iv, bytes);
  } else {
    parameters.iv = iv;
    parameters.iv_bytes = bytes;
    if (given->parameter_size == WITH_BITS) parameters.rest[0] = 8 * bytes;
  }
  struct mechanism own = {given->type, &parameters, given->parameter_size};
  result = REAL(EncryptInit, session, (word)&own, call->arguments[2]);
  if (result == CKR_OK && offer->behaviour == GCM_IV_APPENDED) set_iv(session, iv, bytes);
  return result;
}

word encrypt_with_iv(const struct call *call) {
  byte iv[IV_LIMIT];
  word session = call->arguments[0];
  word bytes = get_iv(session, iv);
  if (bytes == 0) return call_real(call->function, call->arguments);
  /* The output and its size are the last two arguments of both. */
  int at = call->function == F_Encrypt ? 3 : 1;
  byte *output = (byte *)call->arguments[at];
  word *size = (word *)call->arguments[at + 1];
  word room = *size;
  struct call sized = *call;
  word needed = 0;
  sized.arguments[at] = 0;
  sized.arguments[at + 1] = (word)&needed;
  word result = call_real(sized.function, sized.arguments);
  if (result == CKR_OK && (output == NULL || room < needed + bytes)) {
    *size = needed + bytes;
    return output == NULL ? CKR_OK : CKR_BUFFER_TOO_SMALL;
  }
  if (result == CKR_OK) result = call_real(call->function, call->arguments);
  if (result == CKR_OK) {
    memcpy(output + *size, iv, bytes);
    *size += bytes;
  }
  set_iv(session, NULL, 0);
  return result;
}
