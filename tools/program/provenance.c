#include "tools/program/provenance.h"

#include "base/file_io.h"
#include "tools/program/complain.h"
#include "tools/program/json_build.h"
#include "vit/api/texts.h"
#include "weights/embedded.h"
#include "weights/safetensors_index.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <xxhash.h>

#define HASH_CHUNK ((size_t)1 << 20)

static json_t *hash_text(XXH128_hash_t hash)
{
    char text[33];
    snprintf(text, sizeof text, "%016" PRIx64 "%016" PRIx64, (uint64_t)hash.high64, (uint64_t)hash.low64);
    return json_text(text);
}

static bool hash_stream(XXH3_state_t *state, int fd)
{
    char *chunk = or_die(malloc(HASH_CHUNK));
    ssize_t n;
    while ((n = file_read(fd, chunk, HASH_CHUNK)) > 0)
        XXH3_128bits_update(state, chunk, (size_t)n);
    free(chunk);
    return n == 0;
}

static bool hash_file(XXH3_state_t *state, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool hashed = fd >= 0 && hash_stream(state, fd);
    if (!hashed)
        complain("warning: %s: could not be hashed: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return hashed;
}

/* Of the file and, where it is an index, of the shards behind it. */
static json_t *hash_checkpoint(const char *path)
{
    char **shards = NULL;
    size_t count = 0;
    mohvit_error err;
    XXH3_state_t *state = or_die(XXH3_createState());
    XXH3_128bits_reset(state);
    bool hashed = hash_file(state, path) &&
                  fine_or_complain(safetensors_index_shards(&shards, &count, path, &err), &err);
    for (size_t i = 0; hashed && i < count; i++)
        hashed = hash_file(state, shards[i]);
    json_t *text = hashed ? hash_text(XXH3_128bits_digest(state)) : json_null();
    for (size_t i = 0; shards && i < count; i++)
        free(shards[i]);
    free(shards);
    XXH3_freeState(state);
    return text;
}

static json_t *hash_source(const model_source *source)
{
    switch (source->kind) {
    case SOURCE_FILE:
        return hash_checkpoint(source->path);
    case SOURCE_BUILT_IN:
        return hash_text(XXH3_128bits(embedded_model, embedded_model_size()));
    case SOURCE_SYNTHETIC:
        return or_die(json_sprintf("synthetic:%" PRIu64, source->seed));
    default:
        return json_null();
    }
}

json_t *cpu_name(void)
{
    char line[256], *name = NULL;
    struct utsname system;
    errno = 0;
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && !name && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon)
            name = colon + 1 + strspn(colon + 1, " ");
    }
    if (!name && errno == ENOMEM)
        or_die(NULL);
    if (f)
        fclose(f);
    if (name)
        name[strcspn(name, "\n")] = '\0';
    return json_text(name && *name ? name : uname(&system) ? "unknown" : system.machine);
}

json_t *provenance_json(const model_source *source, const config *c, const mohvit_model *m, int threads)
{
    json_t *object = or_die(json_object());
    json_t *known =
        or_die(m ? provenance_of_model(mohvit_describe(m), mohvit_network(m)) : provenance_of_config(c));
    json_put(object, "version", json_text(mohvit_version()));
    json_put(object, "weights_hash", hash_source(source));
    if (json_object_update(object, known))
        or_die(NULL);
    json_decref(known);
    json_put(object, "threads", json_integer(threads));
    json_put(object, "cpu", cpu_name());
    return object;
}
