/* What the shim remembers of open sessions. */
#ifndef SHIM_SESSIONS_H
#define SHIM_SESSIONS_H

#include "call.h"

enum { IV_LIMIT = 16 };

/* Of a session: the mechanisms of its operations, and the IV that the HSM has chosen for its encryption. */
struct session {
  word handle;
  word mechanisms[5];
  byte iv[IV_LIMIT];
  word iv_bytes;
};

/* Follows the sessions: after a call that went well. */
void note_session(const struct call *call);
word count_sessions(void);
/* Of the call itself, or of the operation that it goes on with; CK_UNAVAILABLE_INFORMATION where there is none. */
word mechanism_in_use(const struct call *call);

/* The IV that belongs behind what this session encrypts; 0 bytes where none does. */
void set_iv(word session, const byte *iv, word bytes);
word get_iv(word session, byte iv[IV_LIMIT]);

#endif
