/* SPDX-License-Identifier: MIT */
/*
 * What every other header needs: version, visibility, the log callback.
 */
#ifndef STA_BASE_H
#define STA_BASE_H

#define STA_VERSION_MAJOR 0
#define STA_VERSION_MINOR 1
#define STA_VERSION_PATCH 0
#define STA_VERSION       "0.1.0"

/* Marks the public functions: the library is compiled with hidden visibility. */
#define STA_API __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

enum sta_log_level {
    STA_LOG_ERROR, /* something asked for was not done; the call returns -errno too */
    STA_LOG_WARN,  /* something was done in another way than expected, or left out */
    STA_LOG_INFO,  /* which of several ways was chosen */
};

/*
 * Receives the library's messages; the library itself never prints.
 *
 * `message` is one line without a newline, valid during the call only. The callback runs on the
 * thread whose call caused the message, never on the dispatch path, and must not call back into
 * the object that logs.
 */
typedef void (*sta_log_fn)(void *log_data, enum sta_log_level level, const char *message);

/* The version of the library that was linked, as "major.minor.patch". Callable from anywhere. */
STA_API const char *sta_version(void);

#ifdef __cplusplus
}
#endif

#endif
