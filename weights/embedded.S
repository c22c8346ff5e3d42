/* The files of embedded.h. */
#include "base/embed.inc"
    embed embedded_model, moh_vit_nano.safetensors
    embed embedded_imagenet1k, imagenet1k.tsv
