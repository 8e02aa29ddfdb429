/* The firmware image: everything happens when a byte has come. */
#include "port.h"
#include "target_node.h"

int main(void) {
    port_start();
    target_node_start();
    for (;;) {
        const int byte = port_read();
        if (byte >= 0) {
            target_node_take((uint8_t)byte);
        } else {
            port_wait();
        }
    }
}
