/* The board's end of on-target inference: PROTOCOL.md section 9 over the bundle's generated C. Bytes in, bytes out; what it needs of
 * the board is in port.h. */
#ifndef EDGETOOL_TARGET_NODE_H
#define EDGETOOL_TARGET_NODE_H

#include <stdint.h>

/* Runs the golden vectors and says who it is, unasked. Call once, after port_start. */
void target_node_start(void);

/* Takes one byte of the link; carries out the request that it completes, and answers. */
void target_node_take(uint8_t byte);

#endif
