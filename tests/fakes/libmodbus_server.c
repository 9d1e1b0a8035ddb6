/* A Modbus server of other people's making: libmodbus_server tcp PORT | rtu PATH.
 *
 * Says "ready PORT" (0 for rtu), then every request that it answers, in hexadecimal digits: unit, function, data.
 * What its registers hold, and the numbers in them, stands in libmodbus_server.py as well.
 */
#include <errno.h>
#include <modbus.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BITS = 24, REGISTERS = 300, FIRST = 1000 };
enum { ABCD, CDAB, BADC, DCBA };

/* Put the 16 * words bits of a value into registers, in one of the four orders. */
static void put(uint16_t *at, uint64_t value, int words, int order)
{
    for (int word = 0; word < words; word++) {
        int from = order == CDAB || order == DCBA ? word : words - 1 - word;
        uint16_t bits = (uint16_t)(value >> 16 * from);
        at[word] = order == BADC || order == DCBA ? (uint16_t)(bits << 8 | bits >> 8) : bits;
    }
}

static void fill(uint16_t *registers)
{
    const double pi = 3.141592653589793;
    uint64_t bits_of_pi;
    memcpy(&bits_of_pi, &pi, sizeof pi);
    const struct { uint64_t value; int words; } numbers[] = {
        {(uint64_t)-12345, 1}, {54321, 1}, {(uint64_t)-123456789, 2}, {3456789012u, 2},
        {(uint64_t)-1234567890123456789, 4}, {12345678901234567890u, 4}, {bits_of_pi, 4},
        {0x9876, 1}, {0x98765432, 2}, {0xC1AE0000u, 2},
    };
    for (int index = 0; index < 10; index++)
        for (int order = ABCD; order <= DCBA; order++)
            put(registers + 16 * index + 4 * order, numbers[index].value, numbers[index].words, order);
    /* One of the floats by the library's own function, whose order is CDAB. */
    modbus_set_float(-21.75f, registers + 148);
    put(registers + 160, 0x596F7365u, 2, ABCD);      /* "Yose" */
    put(registers + 162, 0x6D697465u, 2, ABCD);      /* "mite" */
    put(registers + 164, 0x63680000u, 2, ABCD);      /* "ch" */
    registers[166] = 0x0A5C;                         /* bits 4 to 7: 5; bit 2: 1; bit 0: 0 */
    registers[167] = 0x7FFF;                         /* a sensor that is not there */
}

static void answer(modbus_t *bus, modbus_mapping_t *tables)
{
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    int head = modbus_get_header_length(bus);
    for (;;) {
        int length = modbus_receive(bus, query);
        if (length == -1 && errno != EMBBADCRC && errno != ETIMEDOUT)
            return;
        if (length <= 0)
            continue;
        /* RTU: unit, data, two bytes of CRC. TCP: six bytes of head, unit, data. */
        for (int index = head - 1; index < length - (head == 1 ? 2 : 0); index++)
            printf("%02x", query[index]);
        printf("\n");
        modbus_reply(bus, query, length, tables);
    }
}

static int serve_tcp(modbus_mapping_t *tables, int port)
{
    struct sockaddr_in name;
    socklen_t size = sizeof name;
    modbus_t *bus = modbus_new_tcp("127.0.0.1", port);
    int listener = modbus_tcp_listen(bus, 1);
    if (listener == -1 || getsockname(listener, (struct sockaddr *)&name, &size) == -1)
        return EXIT_FAILURE;
    printf("ready %d\n", ntohs(name.sin_port));
    while (modbus_tcp_accept(bus, &listener) != -1) {
        answer(bus, tables);
        modbus_close(bus);
    }
    return EXIT_FAILURE;
}

static int serve_rtu(modbus_mapping_t *tables, const char *path)
{
    modbus_t *bus = modbus_new_rtu(path, 9600, 'N', 8, 1);
    if (bus == NULL || modbus_set_slave(bus, 7) == -1 || modbus_connect(bus) == -1)
        return EXIT_FAILURE;
    printf("ready 0\n");
    answer(bus, tables);
    return EXIT_SUCCESS;
}

int main(int count, char **arguments)
{
    modbus_mapping_t *tables = modbus_mapping_new_start_address(0, BITS, 0, BITS, FIRST, REGISTERS, FIRST, REGISTERS);
    if (tables == NULL || count != 3)
        return EXIT_FAILURE;
    setvbuf(stdout, NULL, _IOLBF, 0);
    /* Bits 1, 4, 7 … of the coils and 0, 2, 4 … of the discrete inputs are on. */
    for (int index = 0; index < BITS; index++) {
        tables->tab_bits[index] = index % 3 == 1;
        tables->tab_input_bits[index] = index % 2 == 0;
    }
    fill(tables->tab_input_registers);
    fill(tables->tab_registers);
    return strcmp(arguments[1], "rtu") ? serve_tcp(tables, atoi(arguments[2])) : serve_rtu(tables, arguments[2]);
}
