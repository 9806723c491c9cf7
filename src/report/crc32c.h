/* CRC-32C (Castagnoli, polynomial 0x1EDC6F41, reflected), as used by TFRecord. Depends on nothing. */
#ifndef SQ_REPORT_CRC32C_H
#define SQ_REPORT_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t sq__crc32c(const void *data, size_t size);
uint32_t sq__crc32c_masked(const void *data, size_t size);   /* rotated right by 15, plus 0xa282ead8: TFRecord's form */

#endif
