/* The files of embedded.h. The assembler finds them in its include path. Data alone, no address in it, so that it is
 * position independent and needs no relocation. */

.macro embed name, file
    .balign 64
    .globl embedded_\name
    .hidden embedded_\name
    .type embedded_\name, %object
embedded_\name:
    .incbin "\file"
    .globl embedded_\name\()_end
    .hidden embedded_\name\()_end
    .type embedded_\name\()_end, %object
embedded_\name\()_end:
    .size embedded_\name, . - embedded_\name
    .byte 0
.endm

    .section .rodata
    embed model, moh_vit_nano.safetensors
    embed imagenet1k, imagenet1k.tsv

    .section .note.GNU-stack, "", %progbits
#ifdef __CET__
#include <cet.h> /* nothing here is ever jumped to */
#endif
