/* AES-GCM whose IV the HSM chooses, whatever the caller gives. */
#ifndef SHIM_GCM_H
#define SHIM_GCM_H

#include "plan.h"

/* C_EncryptInit, with an IV of the HSM's own: written to where the caller's was, or kept for what follows. */
word begin_gcm(const struct call *call, const struct offer *offer);
/* C_Encrypt and C_EncryptFinal, of any mechanism: the IV that is kept goes behind the tag. */
word encrypt_with_iv(const struct call *call);

#endif
