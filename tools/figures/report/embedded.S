/* The parts of the page of `mohvit headload report`, byte for byte. The assembler finds them in its include path. */

.macro embed name, file
    .globl report_\name
    .hidden report_\name
    .type report_\name, %object
report_\name:
    .incbin "\file"
    .globl report_\name\()_end
    .hidden report_\name\()_end
    .type report_\name\()_end, %object
report_\name\()_end:
    .size report_\name, . - report_\name
    .byte 0
.endm

    .section .rodata
    embed html, report.html
    embed css, report.css
    embed js, report.js

    .section .note.GNU-stack, "", %progbits
#ifdef __CET__
#include <cet.h> /* nothing here is ever jumped to */
#endif
