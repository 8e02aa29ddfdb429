/* Feeds bytes to the C decoder and every reader behind it, as a node and as a host would; shared by the fuzzer and the
 * comparison with the Python decoder. */
#ifndef CODEC_WALK_H
#define CODEC_WALK_H

#include <string.h>

#include "edgetool_packets.h"

/* What came of the bytes: the same numbers that the Python decoder must find. */
typedef struct {
    unsigned long good;     /* intact frames */
    unsigned long damaged;  /* blocks that were none, other versions excluded */
    unsigned long versions; /* intact frames of other versions */
    unsigned long valid;    /* unsplit frames with a payload as PROTOCOL.md says; not of the two types that C checks less (texts, operations) */
    unsigned long messages; /* messages rejoined in order */
    uint32_t sum;           /* of the sequence numbers of good frames, modulo 2^32 */
} codec_counts;

static int codec_reads(const etf_frame *frame) {
    const uint8_t *payload = frame->payload;
    const size_t size = frame->payload_size;
    switch (frame->type) {
        case ETF_TYPE_DESCRIPTOR:
            return etf_check_descriptor(payload, size) == ETF_OK;
        case ETF_TYPE_DATA: {
            etf_data data;
            const uint8_t *values;
            volatile int32_t sink = 0;
            if (etf_read_data(payload, size, &data, &values) != ETF_OK) {
                return 0;
            }
            if (data.format != ETF_FORMAT_FLOAT32) {
                sink = etf_integer(data.format, values, (size_t)data.samples * data.channels - 1u);
            }
            (void)sink;
            return 1;
        }
        case ETF_TYPE_SYNC_REQUEST: {
            uint64_t token;
            return etf_read_sync_request(payload, size, &token) == ETF_OK;
        }
        case ETF_TYPE_SYNC_REPLY: {
            etf_sync_reply reply;
            return etf_read_sync_reply(payload, size, &reply) == ETF_OK;
        }
        case ETF_TYPE_STATUS: {
            etf_node_status status;
            return etf_read_status(payload, size, &status) == ETF_OK;
        }
        case ETF_TYPE_COMMAND: {
            uint8_t command;
            return etf_read_command(payload, size, &command) == ETF_OK;
        }
        case ETF_TYPE_REQUEST: {
            etf_request request;
            etf_tensor_request tensor;
            if (etf_read_request(payload, size, &request) != ETF_OK) {
                return 0;
            }
            (void)etf_read_tensor_request(request.body, request.body_size, &tensor);
            return 1;
        }
        case ETF_TYPE_REPLY: {
            etf_reply reply;
            etf_identity identity;
            const uint8_t *body;
            size_t body_size;
            if (etf_read_reply(payload, size, &reply, &body, &body_size) != ETF_OK) {
                return 0;
            }
            (void)etf_read_identity(body, body_size, &identity);
            return 1;
        }
        default:
            return 0;
    }
}

static codec_counts codec_walk(const uint8_t *bytes, size_t size) {
    static uint8_t buffer[4096];
    codec_counts counts;
    etf_receiver receiver;
    etf_joiner joiner;
    memset(&counts, 0, sizeof counts);
    etf_receiver_reset(&receiver);
    etf_joiner_reset(&joiner, buffer, sizeof buffer);
    for (size_t i = 0; i < size; i++) {
        etf_frame frame;
        etf_frame message;
        const etf_status status = etf_receive(&receiver, bytes[i], &frame);
        if (status == ETF_BAD_VERSION) {
            counts.versions++;
        } else if (status == ETF_OK) {
            counts.good++;
            counts.sum += frame.sequence;
            const int valid = frame.parts == 1u && codec_reads(&frame);
            if (valid && frame.type != ETF_TYPE_DESCRIPTOR && frame.type != ETF_TYPE_REQUEST) {
                counts.valid++;
            }
            if (etf_join(&joiner, &frame, &message) == ETF_OK && frame.parts > 1u) {
                counts.messages++;
                (void)codec_reads(&message);
            }
        } else if (status != ETF_MORE) {
            counts.damaged++;
        }
    }
    return counts;
}

#endif
