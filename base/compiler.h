/* compiler.h - what this project asks of compiler and processor beyond C11. */
#ifndef MOHVIT_COMPILER_H
#define MOHVIT_COMPILER_H

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "big-endian processors are not supported: checkpoints store little-endian numbers, copied as they are"
#endif

#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))
#define UNUSED                   __attribute__((unused))

#endif
