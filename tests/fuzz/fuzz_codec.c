/* libFuzzer target: the C decoder and all readers on any bytes, and what they read is framed again and read back the same.
 * The input is used twice: as wire bytes, and as a payload that a frame is made of (so that payloads get past the CRC). */
#include <stdlib.h>

#include "codec_walk.h"

static uint8_t wire[ETF_MAX_FRAME_BYTES];

static void payload_round_trip(const uint8_t *bytes, size_t size) {
    etf_frame frame;
    etf_frame back;
    memset(&frame, 0, sizeof frame);
    frame.type = (uint8_t)(bytes[0] & 0x7Fu);
    frame.node = bytes[1];
    frame.boot = bytes[2];
    frame.parts = bytes[3];
    frame.part = (uint8_t)(frame.parts > 1u ? bytes[4] % frame.parts : 0u);
    frame.parts = frame.parts > 1u ? frame.parts : 1u;
    frame.sequence = (uint32_t)bytes[5] * 0x01010101u;
    frame.device_us = (uint32_t)bytes[6] << 24;
    frame.payload = bytes + 7;
    frame.payload_size = size - 7u;
    const size_t written = etf_encode(&frame, wire, sizeof wire);
    if (written == 0) {
        if (frame.payload_size <= ETF_MAX_PAYLOAD_BYTES - ETF_FRAGMENT_HEADER_BYTES) {
            abort(); /* what fits must be written */
        }
        return;
    }
    if (memchr(wire, 0, written) != wire + written - 1u || etf_decode(wire, written - 1u, &back) != ETF_OK) {
        abort();
    }
    if (back.type != frame.type || back.node != frame.node || back.boot != frame.boot || back.part != frame.part ||
        back.parts != frame.parts || back.sequence != frame.sequence || back.device_us != frame.device_us ||
        back.payload_size != frame.payload_size || memcmp(back.payload, frame.payload, frame.payload_size) != 0) {
        abort();
    }
    (void)codec_reads(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    (void)codec_walk(bytes, size);
    if (size >= 7u) {
        payload_round_trip(bytes, size);
    }
    return 0;
}
