/* The files of embedded.h. */
#include "base/embed.inc"
#ifdef MOHVIT_BUILT_IN_MODEL
    embed embedded_model, moh_vit_nano.safetensors
#endif
    embed embedded_imagenet1k, imagenet1k.tsv
