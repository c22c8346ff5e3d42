/* status.h - how a call of the library ends: its status, the message that goes with a failure, and progress
 * on the way. Installed as mohvit/status.h, beside mohvit.h, which includes it. */
#ifndef MOHVIT_STATUS_H
#define MOHVIT_STATUS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mohvit_status {
    MOHVIT_OK = 0,
    MOHVIT_ERROR_ARGUMENT,    /* the caller asked for something impossible */
    MOHVIT_ERROR_MEMORY,      /* an allocation failed */
    MOHVIT_ERROR_IO,          /* the file is missing, may not be read or written, or ends early */
    MOHVIT_ERROR_FORMAT,      /* the file is damaged, or not what it claims to be */
    MOHVIT_ERROR_UNSUPPORTED, /* a known format or feature that is not handled */
    MOHVIT_ERROR_LIMIT,       /* larger than a limit set by the caller or stated in the documentation */
    MOHVIT_ERROR_MISMATCH,    /* the checkpoint does not fit its config */
    MOHVIT_ERROR_NONFINITE,   /* the network answered with NaN or infinity */
    MOHVIT_ERROR_CANCELLED,   /* a mohvit_progress or mohvit_trace asked for it */
    MOHVIT_ERROR_SYSTEM /* the operating system failed, whatever the file: a disk that is broken or full, too
                           many open files. Another time it may go better, as after MOHVIT_ERROR_MEMORY */
} mohvit_status;

typedef struct mohvit_error {
    mohvit_status status;
    char message[1024]; /* one line; the middle of a very long one is left out, control bytes are \xNN */
    int number;         /* errno, where the operating system refused; else 0 */
} mohvit_error;

/* Told that `done` of `total` are done, where done never falls; 0 goes on, anything else cancels the call at
 * hand, which ends soon with MOHVIT_ERROR_CANCELLED and does not call it again. It returns as usual (no
 * longjmp, no exception) and leaves the context alone. Work waits for it. */
typedef int mohvit_progress(void *user, size_t done, size_t total);

#ifdef __cplusplus
}
#endif
#endif
