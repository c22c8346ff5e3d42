/* embedded.h - the files that are compiled into the library, byte for byte (embedded.S). Aligned to 64. */
#ifndef MOHVIT_EMBEDDED_H
#define MOHVIT_EMBEDDED_H

#include <stddef.h>
#include <stdint.h>

#define EMBEDDED(name)                                                                                       \
    extern const unsigned char embedded_##name[] __attribute__((visibility("hidden")));                      \
    extern const unsigned char embedded_##name##_end[] __attribute__((visibility("hidden")));                \
    static inline size_t embedded_##name##_size(void)                                                        \
    {                                                                                                        \
        return (uintptr_t)embedded_##name##_end - (uintptr_t)embedded_##name;                                \
    }

#ifdef MOHVIT_BUILT_IN_MODEL
EMBEDDED(model) /* moh_vit_nano.safetensors: embedded_model, embedded_model_size() */
#endif
EMBEDDED(imagenet1k) /* imagenet1k.tsv: embedded_imagenet1k, embedded_imagenet1k_size() */

#undef EMBEDDED

#endif
