/* Reads wire frames of one packet from standard input with the C codec, prints what is in it as JSON, writes it anew with the
 * C codec and prints the wire bytes in hex. Usage: codec_golden MAX_FRAME < packet.bin */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edgetool_packets.h"

static uint8_t message_buffer[ETF_MAX_MESSAGE_BYTES];
static uint8_t payload_buffer[ETF_MAX_MESSAGE_BYTES];

static void fail(const char *what, int status) {
    fprintf(stderr, "codec_golden: %s: %d\n", what, status);
    exit(1);
}

static void check(const char *what, etf_status status) {
    if (status != ETF_OK) {
        fail(what, (int)status);
    }
}

static void print_text(const char *name, etf_text text) {
    printf("\"%s\": \"%.*s\"", name, (int)text.size, (const char *)text.bytes);
}

static void print_hex(const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        printf("%02x", bytes[i]);
    }
}

static void descriptor(const etf_frame *message, etf_writer *writer) {
    etf_reader reader;
    etf_descriptor head;
    etf_reader_begin(&reader, message->payload, message->payload_size);
    check("descriptor", etf_check_descriptor(message->payload, message->payload_size));
    check("head", etf_get_descriptor(&reader, &head));
    etf_put_descriptor(writer, &head);
    printf("{\"contract_hash\": \"");
    print_hex(head.contract_hash, sizeof head.contract_hash);
    printf("\", ");
    print_text("name", head.name);
    printf(", ");
    print_text("hardware", head.hardware);
    printf(", \"streams\": [");
    for (unsigned s = 0; s < head.streams; s++) {
        etf_stream stream;
        check("stream", etf_get_stream(&reader, &stream));
        etf_put_stream(writer, &stream);
        printf("%s{\"stream\": %u, \"format\": %u, \"rate_hz\": %.9g, ", s ? ", " : "", stream.stream, stream.format,
               (double)stream.rate_hz);
        print_text("name", stream.name);
        printf(", \"channels\": [");
        for (unsigned c = 0; c < stream.channels; c++) {
            etf_channel channel;
            check("channel", etf_get_channel(&reader, &channel));
            etf_put_channel(writer, &channel);
            printf("%s{\"unit_code\": %u, \"scale\": %.9g, \"full_scale\": %.9g, ", c ? ", " : "", channel.unit,
                   (double)channel.scale, (double)channel.full_scale);
            print_text("name", channel.name);
            printf("}");
        }
        printf("]}");
    }
    printf("]}\n");
}

static void data(const etf_frame *message, etf_writer *writer) {
    etf_data head;
    const uint8_t *values;
    check("data", etf_read_data(message->payload, message->payload_size, &head, &values));
    etf_put_data(writer, &head);
    printf("{\"stream\": %u, \"format\": %u, \"channels\": %u, \"first\": %lu, \"values\": [", head.stream, head.format,
           head.channels, (unsigned long)head.first);
    etf_reader reader;
    etf_reader_begin(&reader, values, (size_t)head.samples * head.channels * etf_value_size(head.format));
    for (size_t i = 0; i < (size_t)head.samples * head.channels; i++) {
        printf("%s", i ? ", " : "");
        if (head.format == ETF_FORMAT_FLOAT32) {
            const float value = etf_get_f32(&reader);
            printf("%.9g", (double)value);
            etf_put_f32(writer, value);
        } else {
            const int32_t value = etf_integer(head.format, values, i);
            printf("%ld", (long)value);
            if (head.format == ETF_FORMAT_INT16) {
                etf_put_u16(writer, (uint16_t)(uint32_t)value);
            } else {
                etf_put_u24(writer, (uint32_t)value);
            }
        }
    }
    printf("]}\n");
}

static void node_status(const etf_frame *message, etf_writer *writer) {
    etf_node_status status;
    check("status", etf_read_status(message->payload, message->payload_size, &status));
    etf_put_status(writer, &status);
    printf("{\"battery_percent\": %u, \"flags\": %u, \"battery_mv\": %u, \"samples_dropped\": %lu, \"frames_received\": %lu, "
           "\"frames_rejected\": %lu, \"firmware\": [%u, %u, %u]}\n",
           status.battery_percent, status.flags, status.battery_mv, (unsigned long)status.samples_dropped,
           (unsigned long)status.frames_received, (unsigned long)status.frames_rejected, status.firmware_major,
           status.firmware_minor, status.firmware_patch);
}

static void sync_packet(const etf_frame *message, etf_writer *writer) {
    if (message->type == ETF_TYPE_SYNC_REQUEST) {
        uint64_t token;
        check("sync request", etf_read_sync_request(message->payload, message->payload_size, &token));
        etf_put_u64(writer, token);
        printf("{\"token\": %llu}\n", (unsigned long long)token);
    } else {
        etf_sync_reply reply;
        check("sync reply", etf_read_sync_reply(message->payload, message->payload_size, &reply));
        etf_put_sync_reply(writer, &reply);
        printf("{\"token\": %llu, \"received_us\": %lu}\n", (unsigned long long)reply.token, (unsigned long)reply.received_us);
    }
}

static void command(const etf_frame *message, etf_writer *writer) {
    uint8_t code;
    check("command", etf_read_command(message->payload, message->payload_size, &code));
    etf_put_u32(writer, code);
    printf("{\"command\": %u}\n", code);
}

static void request(const etf_frame *message, etf_writer *writer) {
    etf_request head;
    check("request", etf_read_request(message->payload, message->payload_size, &head));
    etf_put_u8(writer, head.operation);
    etf_put_u8(writer, head.format);
    etf_put_u16(writer, 0);
    etf_put_bytes(writer, head.model, sizeof head.model);
    etf_put_bytes(writer, head.body, head.body_size);
    if (head.operation == ETF_OPERATION_TENSOR) {
        etf_tensor_request tensor;
        check("tensor", etf_read_tensor_request(head.body, head.body_size, &tensor));
        if (tensor.index != 12 || tensor.offset != 480 || tensor.length != 480) {
            fail("tensor request", 0);
        }
    }
    printf("{\"operation\": %u, \"format\": %u, \"body\": \"", head.operation, head.format);
    print_hex(head.body, head.body_size);
    printf("\", \"model\": \"");
    print_hex(head.model, sizeof head.model);
    printf("\"}\n");
}

static void reply(const etf_frame *message, etf_writer *writer) {
    etf_reply head;
    const uint8_t *body;
    size_t body_size;
    check("reply", etf_read_reply(message->payload, message->payload_size, &head, &body, &body_size));
    etf_put_reply(writer, &head);
    etf_reader reader;
    etf_reader_begin(&reader, body, body_size);
    if (head.operation == ETF_OPERATION_IDENTIFY && head.error == ETF_ERROR_NONE) {
        etf_identity identity;
        check("identity", etf_read_identity(body, body_size, &identity));
        etf_put_identity(writer, &identity);
    } else if (head.operation == ETF_OPERATION_SELF_TEST) {
        const uint16_t run = etf_get_u16(&reader);
        const uint16_t failed = etf_get_u16(&reader);
        etf_put_self_test(writer, run, failed, etf_get_u32(&reader));
    } else if (head.operation == ETF_OPERATION_STACK) {
        const uint32_t size = etf_get_u32(&reader);
        etf_put_stack(writer, size, etf_get_u32(&reader));
    } else {
        etf_put_bytes(writer, body, body_size);
    }
    printf("{\"operation\": %u, \"error\": %u, \"format\": %u, \"request_boot\": %u, \"request_sequence\": %lu, \"count\": %lu, "
           "\"body\": \"",
           head.operation, head.error, head.format, head.request_boot, (unsigned long)head.request_sequence,
           (unsigned long)head.count);
    print_hex(body, body_size);
    printf("\"}\n");
}

static void print_wire(void *context, const uint8_t *wire, size_t size) {
    (void)context;
    print_hex(wire, size);
}

static void whole(const etf_frame *message, unsigned max_frame) {
    etf_writer writer;
    etf_writer_begin(&writer, payload_buffer, sizeof payload_buffer);
    switch (message->type) {
        case ETF_TYPE_DESCRIPTOR: descriptor(message, &writer); break;
        case ETF_TYPE_DATA: data(message, &writer); break;
        case ETF_TYPE_STATUS: node_status(message, &writer); break;
        case ETF_TYPE_SYNC_REQUEST:
        case ETF_TYPE_SYNC_REPLY: sync_packet(message, &writer); break;
        case ETF_TYPE_COMMAND: command(message, &writer); break;
        case ETF_TYPE_REQUEST: request(message, &writer); break;
        case ETF_TYPE_REPLY: reply(message, &writer); break;
        default: fail("type", message->type);
    }
    if (writer.failed) {
        fail("writer", 0);
    }
    etf_sender sender = {message->node, message->boot, (uint16_t)max_frame, message->sequence, print_wire, NULL};
    check("send", etf_send(&sender, message->type, message->device_us, payload_buffer, writer.size));
    printf("\n");
}

int main(int argc, char **argv) {
    etf_receiver receiver;
    etf_joiner joiner;
    etf_frame frame;
    etf_frame message;
    int messages = 0;
    const unsigned max_frame = argc > 1 ? (unsigned)atoi(argv[1]) : ETF_MAX_FRAME_BYTES;
    if (etf_crc16(ETF_CRC_INITIAL, (const uint8_t *)"123456789", 9) != ETF_CRC_CHECK) {
        fail("crc", 0);
    }
    etf_receiver_reset(&receiver);
    etf_joiner_reset(&joiner, message_buffer, sizeof message_buffer);
    for (int byte = getchar(); byte != EOF; byte = getchar()) {
        etf_status status = etf_receive(&receiver, (uint8_t)byte, &frame);
        if (status == ETF_OK) {
            status = etf_join(&joiner, &frame, &message);
            if (status == ETF_OK) {
                whole(&message, max_frame);
                messages++;
            }
        }
        if (status != ETF_OK && status != ETF_MORE) {
            fail("frame", (int)status);
        }
    }
    return messages == 1 ? 0 : 2;
}
