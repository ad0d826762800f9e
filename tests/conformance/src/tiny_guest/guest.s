// The tiny guest: 32-bit protected mode, flat segments, no paging, no interrupts; loaded at 0x100000.
// It polls its devices, so that it needs neither interrupts nor timers. Sources: Xen's `docs/misc/pvh.pandoc` and Linux'
// `Documentation/arch/x86/boot.rst` ("64-bit boot protocol") for the state at the two entries; Virtual I/O Device (VIRTIO)
// 1.2, sections 4.2.2 (MMIO), 2.7 (split queues), 5.2 (block), 5.10 (socket).

    .code32
    .globl tiny_guest_begin, tiny_guest_end
tiny_guest_begin:
    jmp     start
    .balign 8
mode:                                   // offset 8: patched by the builder, see `Does`
    .long   0
    .balign 16
line:                                   // offset 16: patched by the builder
    .space  48

    .set    BASE, 0x100000
    .set    STACK, 0x1f0000
    .set    QUEUES, 0x200000            // descriptors, available, used: a page each
    .set    BUFFERS, 0x300000
    .set    BUFFER_BYTES, 0x2000
    .set    HEADER_BYTES, 44
    .set    RX_BUFFERS, 16
    .set    EVENT_BUFFERS, 4

    .set    DOES_END, 1
    .set    DOES_TICK, 2
    .set    DOES_DRIVES, 4
    .set    DOES_ECHO, 8

// Where a boot loader for Linux enters (offset 64): 64-bit mode, the first memory mapped to itself, interrupts off. It goes
// back to where the other entry begins: the code is mapped to itself, so that paging can be switched off under it.
    .code64
enter_as_linux:
    movl    $(segments_at - tiny_guest_begin + BASE), %eax
    lgdt    (%rax)
    movl    $STACK, %esp
    pushq   $8                          // the 32-bit code segment
    pushq   $(leave_long_mode - tiny_guest_begin + BASE)
    lretq
    .code32
leave_long_mode:
    movl    $16, %eax
    movl    %eax, %ds
    movl    %eax, %es
    movl    %eax, %ss
    movl    %cr0, %eax
    andl    $0x7fffffff, %eax           // paging
    movl    %eax, %cr0
    movl    $0xc0000080, %ecx           // EFER
    rdmsr
    andl    $0xfffffeff, %eax           // long mode
    wrmsr
    jmp     start

start:
    movl    $STACK, %esp
    cld
    movl    $(line - tiny_guest_begin + BASE), %esi
    call    print
    movl    (mode - tiny_guest_begin + BASE), %eax
    testl   $DOES_DRIVES, %eax
    jz      1f
    call    drives
1:  movl    (mode - tiny_guest_begin + BASE), %eax
    testl   $DOES_ECHO, %eax
    jnz     echo
    testl   $DOES_TICK, %eax
    jnz     tick
    testl   $DOES_END, %eax
    jnz     end
halt:
    hlt
    jmp     halt

// Ends the machine: by the keyboard controller, and where there is none by a triple fault.
end:
    movb    $0xfe, %al
    outb    %al, $0x64
    movl    $5000000, %ecx              // where there is one, it takes its time
1:  pause
    decl    %ecx
    jnz     1b
    lidt    (no_table - tiny_guest_begin + BASE)
    int3
    jmp     halt

// Writes a dot again and again.
tick:
    movl    $(dot - tiny_guest_begin + BASE), %esi
    call    print
    movl    $20000, %ecx
1:  pause
    decl    %ecx
    jnz     1b
    jmp     tick

// Writes the text at esi, which ends with a zero, to the serial port.
print:
    movw    $0x3f8, %dx
1:  lodsb
    testb   %al, %al
    jz      2f
    outb    %al, %dx
    jmp     1b
2:  ret

// ---- finding devices -------------------------------------------------------------------------------------------------

// Calls edi for every virtio device of kind ebp, with its registers at ebx.
each_device:
    movl    $(places - tiny_guest_begin + BASE), %esi
1:  movl    (%esi), %ebx                // first address, 0 ends the table
    testl   %ebx, %ebx
    jz      4f
    movl    8(%esi), %ecx               // how many
2:  cmpl    $0x74726976, (%ebx)         // "virt"
    jne     3f
    cmpl    %ebp, 8(%ebx)
    jne     3f
    pushal
    call    *%edi
    popal
3:  addl    4(%esi), %ebx
    decl    %ecx
    jnz     2b
    addl    $12, %esi
    jmp     1b
4:  ret

// Begins to set up the device at ebx: version 1 of the standard and no other feature.
begin_device:
    movl    $0, 0x70(%ebx)
    movl    $1, 0x70(%ebx)
    movl    $3, 0x70(%ebx)
    movl    $0, 0x24(%ebx)
    movl    $0, 0x20(%ebx)
    movl    $1, 0x24(%ebx)
    movl    $1, 0x20(%ebx)
    movl    $11, 0x70(%ebx)
    ret

// Makes queue eax with ecx places, descriptors at edx, the rest in the two pages behind, all empty.
make_queue:
    pushl   %edi
    pushl   %ecx
    pushl   %eax
    movl    %edx, %edi
    xorl    %eax, %eax
    movl    $(0x3000 / 4), %ecx
    rep stosl
    popl    %eax
    popl    %ecx
    popl    %edi
    movl    %eax, 0x30(%ebx)
    movl    %ecx, 0x38(%ebx)
    movl    %edx, 0x80(%ebx)
    movl    $0, 0x84(%ebx)
    leal    0x1000(%edx), %eax
    movl    %eax, 0x90(%ebx)
    movl    $0, 0x94(%ebx)
    leal    0x2000(%edx), %eax
    movl    %eax, 0xa0(%ebx)
    movl    $0, 0xa4(%ebx)
    movl    $1, 0x44(%ebx)
    ret

// ---- drives ----------------------------------------------------------------------------------------------------------

    .set    REQUEST, 0x210000           // kind, 0, sector, 0; the status is at +16
    .set    DATA, 0x220000

// For each drive: its first bytes, and whether it lets the second sector be written.
drives:
    movl    $2, %ebp
    movl    $(one_drive - tiny_guest_begin + BASE), %edi
    jmp     each_device

one_drive:
    call    begin_device
    movl    $QUEUES, %edx
    movl    $8, %ecx
    xorl    %eax, %eax
    call    make_queue
    movl    $15, 0x70(%ebx)
    movl    $(drive_text - tiny_guest_begin + BASE), %esi
    call    print
    movl    $0, %ecx                    // read ...
    movl    $0, %edx                    // ... sector 0
    movl    $2, %ebp                    // the device writes the data
    call    transfer
    movb    $0, (DATA + 32)
    movl    $DATA, %esi
    call    print
    movl    $DATA, %edi
    movl    $0x74697277, %eax           // "writ", all over
    movl    $128, %ecx
    rep stosl
    movl    $1, %ecx
    movl    $1, %edx
    movl    $0, %ebp
    call    transfer
    movl    $(written_text - tiny_guest_begin + BASE), %esi
    testl   %eax, %eax
    jz      1f
    movl    $(refused_text - tiny_guest_begin + BASE), %esi
1:  call    print
    ret

// One request of kind ecx for sector edx; ebp are the flags of its data. Returns the status in eax.
transfer:
    movl    %ecx, (REQUEST)
    movl    $0, (REQUEST + 4)
    movl    %edx, (REQUEST + 8)
    movl    $0, (REQUEST + 12)
    movb    $0xff, (REQUEST + 16)
    movl    $REQUEST, (QUEUES)
    movl    $16, (QUEUES + 8)
    movl    $0x00010001, (QUEUES + 12)  // next: 1
    movl    $DATA, (QUEUES + 16)
    movl    $512, (QUEUES + 24)
    orl     $0x00020001, %ebp           // next: 2
    movl    %ebp, (QUEUES + 28)
    movl    $(REQUEST + 16), (QUEUES + 32)
    movl    $1, (QUEUES + 40)
    movl    $2, (QUEUES + 44)
    movzwl  (QUEUES + 0x1002), %eax     // the head is always descriptor 0
    movl    %eax, %ecx
    andl    $7, %ecx
    movw    $0, (QUEUES + 0x1004)(,%ecx,2)
    incl    %eax
    movw    %ax, (QUEUES + 0x1002)
    movl    $0, 0x50(%ebx)
1:  pause
    cmpw    %ax, (QUEUES + 0x2002)
    jne     1b
    movzbl  (REQUEST + 16), %eax
    ret

// ---- echo over vsock -------------------------------------------------------------------------------------------------

    // What is known of a connection: a place in the table.
    .set    CONNECTIONS, 0x400000
    .set    CONNECTION_BYTES, 32
    .set    CONNECTIONS_END, CONNECTIONS + 128 * CONNECTION_BYTES
    .set    THEIR_PORT, 0               // 0: the place is free
    .set    OUR_PORT, 4
    .set    RECEIVED, 8                 // bytes so far, as in all the following
    .set    SENT, 12                    // and with that taken out of our room
    .set    THEIR_ROOM, 16
    .set    THEIR_TAKEN, 20             // of what we have sent
    .set    HAS_ASKED, 24               // for news of their room, since we sent the last

    // What a connection has received and not sent back yet, a ring for each. It is all the room that the host is told of.
    .set    ROOMS, 0x500000
    .set    ROOM_BYTES, 0x10000
    .set    PLACE_TO_ROOM, 11           // log2(ROOM_BYTES / CONNECTION_BYTES)

    // What is sent.
    .set    PACKET, 0x260000
    .set    PACKET_BYTES_MAX, 0x1000

    .set    REQUEST_OPERATION, 1
    .set    RESPONSE, 2
    .set    RESET, 3
    .set    DATA_OPERATION, 5
    .set    NEWS_OF_ROOM, 6
    .set    QUESTION_OF_ROOM, 7

    // How often the guest looks around until it has dealt with an event: like a kernel, it does so after what is urgent.
    .set    EVENT_DELAY, 100000

    .set    RX, QUEUES
    .set    TX, QUEUES + 0x4000
    .set    EV, QUEUES + 0x8000
    .set    EVENTS, 0x240000

// Listens on the agent's two ports and sends back what comes, as fast as the other side takes it; rings at the host when it
// listens.
echo:
    movl    $19, %ebp
    movl    $(keep_device - tiny_guest_begin + BASE), %edi
    call    each_device
    movl    (device - tiny_guest_begin + BASE), %ebx
    testl   %ebx, %ebx
    jz      halt
    call    begin_device
    movl    $0, %eax
    movl    $16, %ecx
    movl    $RX, %edx
    call    make_queue
    movl    $1, %eax
    movl    $16, %ecx
    movl    $TX, %edx
    call    make_queue
    movl    $2, %eax
    movl    $4, %ecx
    movl    $EV, %edx
    call    make_queue
    // Room for packets ...
    xorl    %ecx, %ecx
1:  movl    %ecx, %eax
    shll    $4, %eax
    movl    %ecx, %edx
    imull   $BUFFER_BYTES, %edx, %edx
    addl    $BUFFERS, %edx
    movl    %edx, RX(%eax)
    movl    $BUFFER_BYTES, (RX + 8)(%eax)
    movl    $2, (RX + 12)(%eax)
    movw    %cx, (RX + 0x1004)(,%ecx,2)
    incl    %ecx
    cmpl    $RX_BUFFERS, %ecx
    jne     1b
    movw    $RX_BUFFERS, (RX + 0x1002)
    // ... and for events.
    xorl    %ecx, %ecx
2:  movl    %ecx, %eax
    shll    $4, %eax
    leal    EVENTS(,%ecx,8), %edx
    movl    %edx, EV(%eax)
    movl    $8, (EV + 8)(%eax)
    movl    $2, (EV + 12)(%eax)
    movw    %cx, (EV + 0x1004)(,%ecx,2)
    incl    %ecx
    cmpl    $EVENT_BUFFERS, %ecx
    jne     2b
    movw    $EVENT_BUFFERS, (EV + 0x1002)
    movl    $15, 0x70(%ebx)
    movl    $0, 0x50(%ebx)
    movl    $2, 0x50(%ebx)
    call    ring
serve:
    pause
    movw    (rx_seen - tiny_guest_begin + BASE), %ax
    cmpw    %ax, (RX + 0x2002)
    jne     received
    movw    (ev_seen - tiny_guest_begin + BASE), %ax
    cmpw    %ax, (EV + 0x2002)
    je      serve
    decl    (event_delay - tiny_guest_begin + BASE)
    jnz     serve
    // An event, of which there is one kind: all connections are gone, and nobody is told. Its place is given back, which
    // tells the device that it was heard. Whoever was listening still is, and rings again.
    movl    $EVENT_DELAY, (event_delay - tiny_guest_begin + BASE)
    movl    $CONNECTIONS, %edi
1:  movl    $0, THEIR_PORT(%edi)
    addl    $CONNECTION_BYTES, %edi
    cmpl    $CONNECTIONS_END, %edi
    jne     1b
    incw    (ev_seen - tiny_guest_begin + BASE)
    movzwl  %ax, %ecx
    andl    $3, %ecx
    movl    (EV + 0x2004)(,%ecx,8), %edx
    movzwl  (EV + 0x1002), %ecx
    movl    %ecx, %edi
    andl    $3, %edi
    movw    %dx, (EV + 0x1004)(,%edi,2)
    incl    %ecx
    movw    %cx, (EV + 0x1002)
    movl    $2, 0x50(%ebx)
    movl    $(reset_text - tiny_guest_begin + BASE), %esi
    call    print
    call    ring
    jmp     serve

// A packet: its buffer is number ebp, at esi.
received:
    incw    (rx_seen - tiny_guest_begin + BASE)
    movzwl  %ax, %ecx
    andl    $15, %ecx
    movl    (RX + 0x2004)(,%ecx,8), %ebp
    movl    %ebp, %esi
    imull   $BUFFER_BYTES, %esi, %esi
    addl    $BUFFERS, %esi
    call    find
    movzwl  30(%esi), %eax
    cmpl    $REQUEST_OPERATION, %eax
    je      requested
    cmpl    $RESET, %eax
    je      was_reset
    testl   %edi, %edi
    jz      refuse                      // the answer to a ring, or what is meant for a connection that is gone
    movl    36(%esi), %ecx
    movl    %ecx, THEIR_ROOM(%edi)
    movl    40(%esi), %ecx
    movl    %ecx, THEIR_TAKEN(%edi)
    cmpl    $DATA_OPERATION, %eax
    je      keep_data
    cmpl    $NEWS_OF_ROOM, %eax
    je      send_back
    cmpl    $QUESTION_OF_ROOM, %eax
    je      tell_room
    movl    $0, THEIR_PORT(%edi)        // an end
refuse:
    xorl    %edi, %edi
    movl    $RESET, %eax
    movl    20(%esi), %ecx
    movl    16(%esi), %edx
    call    begin_packet
    call    send
    jmp     give_back

was_reset:
    testl   %edi, %edi
    jz      give_back
    movl    $0, THEIR_PORT(%edi)
    jmp     give_back

// Accepted on the agent's two ports only, as long as there is a place.
requested:
    movl    20(%esi), %eax
    cmpl    $1024, %eax
    je      1f
    cmpl    $1025, %eax
    jne     refuse
1:  movl    $CONNECTIONS, %edi
2:  cmpl    $0, THEIR_PORT(%edi)
    je      3f
    addl    $CONNECTION_BYTES, %edi
    cmpl    $CONNECTIONS_END, %edi
    jne     2b
    jmp     refuse
3:  movl    %eax, OUR_PORT(%edi)
    movl    16(%esi), %eax
    movl    %eax, THEIR_PORT(%edi)
    movl    36(%esi), %eax
    movl    %eax, THEIR_ROOM(%edi)
    movl    40(%esi), %eax
    movl    %eax, THEIR_TAKEN(%edi)
    movl    $0, RECEIVED(%edi)
    movl    $0, SENT(%edi)
    movl    $0, HAS_ASKED(%edi)
    movl    $RESPONSE, %eax
    call    begin_answer
    call    send
    jmp     give_back

tell_room:
    movl    $NEWS_OF_ROOM, %eax
    call    begin_answer
    call    send
    jmp     send_back

// Puts what the packet has into the connection's ring: up to the ring's end, then from its begin.
keep_data:
    movl    24(%esi), %ecx
    movl    RECEIVED(%edi), %edx
    addl    %ecx, RECEIVED(%edi)
    addl    $HEADER_BYTES, %esi
    call    room_of
    pushl   %edi
1:  andl    $(ROOM_BYTES - 1), %edx
    leal    (%eax,%edx), %edi
    negl    %edx
    addl    $ROOM_BYTES, %edx           // bytes to the end
    cmpl    %ecx, %edx
    jbe     2f
    movl    %ecx, %edx
2:  subl    %edx, %ecx
    xchgl   %ecx, %edx
    call    copy
    movl    %edx, %ecx
    xorl    %edx, %edx
    testl   %ecx, %ecx
    jnz     1b
    popl    %edi

// Sends back what the connection has received, as far as there is room for it on the other side.
send_back:
    movl    RECEIVED(%edi), %ecx
    subl    SENT(%edi), %ecx
    jz      give_back
    movl    THEIR_ROOM(%edi), %eax
    addl    THEIR_TAKEN(%edi), %eax
    subl    SENT(%edi), %eax
    jle     ask_for_room
    cmpl    %eax, %ecx
    jbe     1f
    movl    %eax, %ecx
1:  cmpl    $PACKET_BYTES_MAX, %ecx
    jbe     2f
    movl    $PACKET_BYTES_MAX, %ecx
2:  movl    SENT(%edi), %edx
    andl    $(ROOM_BYTES - 1), %edx
    movl    $ROOM_BYTES, %eax
    subl    %edx, %eax                  // bytes to the end of the ring
    cmpl    %eax, %ecx
    jbe     3f
    movl    %eax, %ecx
3:  addl    %ecx, SENT(%edi)
    movl    $0, HAS_ASKED(%edi)
    call    room_of
    leal    (%eax,%edx), %esi
    pushl   %ecx
    pushl   %edi
    movl    $(PACKET + HEADER_BYTES), %edi
    call    copy
    popl    %edi
    movl    $DATA_OPERATION, %eax
    call    begin_answer
    popl    (PACKET + 24)
    call    send
    jmp     send_back

ask_for_room:
    cmpl    $0, HAS_ASKED(%edi)
    jne     give_back
    movl    $1, HAS_ASKED(%edi)
    movl    $QUESTION_OF_ROOM, %eax
    call    begin_answer
    call    send

give_back:
    movzwl  (RX + 0x1002), %ecx
    movl    %ecx, %edi
    andl    $15, %edi
    movw    %bp, (RX + 0x1004)(,%edi,2)
    incl    %ecx
    movw    %cx, (RX + 0x1002)
    movl    $0, 0x50(%ebx)
    jmp     serve

// Finds the connection of the packet at esi: returns its place in edi, 0 where there is none.
find:
    movl    $CONNECTIONS, %edi
1:  movl    16(%esi), %eax
    cmpl    %eax, THEIR_PORT(%edi)
    jne     2f
    movl    20(%esi), %eax
    cmpl    %eax, OUR_PORT(%edi)
    je      3f
2:  addl    $CONNECTION_BYTES, %edi
    cmpl    $CONNECTIONS_END, %edi
    jne     1b
    xorl    %edi, %edi
3:  ret

// Returns the ring of the connection at edi in eax.
room_of:
    leal    -CONNECTIONS(%edi), %eax
    shll    $PLACE_TO_ROOM, %eax
    addl    $ROOMS, %eax
    ret

// Copies ecx bytes from esi to edi.
copy:
    pushl   %ecx
    shrl    $2, %ecx
    rep movsl
    popl    %ecx
    andl    $3, %ecx
    rep movsb
    ret

// Rings at the host: asks for a connection to the bell's port, each time from another port: the host may still have the last.
ring:
    xorl    %edi, %edi
    movl    $REQUEST_OPERATION, %eax
    incl    (ring_port - tiny_guest_begin + BASE)
    movl    (ring_port - tiny_guest_begin + BASE), %ecx
    movl    $1026, %edx
    call    begin_packet
    jmp     send

// Begins a packet with operation eax for the connection at edi.
begin_answer:
    movl    OUR_PORT(%edi), %ecx
    movl    THEIR_PORT(%edi), %edx

// Begins a packet with operation eax from our port ecx to the host's port edx; edi is its connection or 0.
begin_packet:
    movl    %ecx, (PACKET + 16)
    movl    %edx, (PACKET + 20)
    movw    %ax, (PACKET + 30)
    movl    0x100(%ebx), %eax           // our own address
    movl    %eax, (PACKET)
    movl    $2, (PACKET + 8)            // the host's
    movw    $1, (PACKET + 28)           // a stream
    xorl    %eax, %eax
    movl    %eax, (PACKET + 4)
    movl    %eax, (PACKET + 12)
    movl    %eax, (PACKET + 24)
    movl    %eax, (PACKET + 32)
    movl    $ROOM_BYTES, (PACKET + 36)
    testl   %edi, %edi
    jz      1f
    movl    SENT(%edi), %eax
1:  movl    %eax, (PACKET + 40)
    ret

// Sends the packet and waits until the device has it.
send:
    movl    (PACKET + 24), %eax
    addl    $HEADER_BYTES, %eax
    movl    $PACKET, (TX)
    movl    %eax, (TX + 8)
    movl    $0, (TX + 12)
    movzwl  (TX + 0x1002), %eax
    movl    %eax, %ecx
    andl    $15, %ecx
    movw    $0, (TX + 0x1004)(,%ecx,2)
    incl    %eax
    movw    %ax, (TX + 0x1002)
    movl    $1, 0x50(%ebx)
1:  pause
    cmpw    %ax, (TX + 0x2002)
    jne     1b
    ret

keep_device:
    movl    %ebx, (device - tiny_guest_begin + BASE)
    ret

// ---- data ------------------------------------------------------------------------------------------------------------

    .balign 4
device:
    .long   0
places:                                 // first address, distance, how many
    .long   0xc0000000, 0x1000, 64      // Firecracker 1.13 and later
    .long   0xd0000000, 0x1000, 64      // Firecracker before
    .long   0xfeb00000, 0x200, 24       // QEMU's microvm
    .long   0
ring_port:
    .long   5000
event_delay:
    .long   EVENT_DELAY
    .balign 8
segments:                               // none, 32-bit code, data: all of memory
    .quad   0, 0x00cf9b000000ffff, 0x00cf93000000ffff
segments_at:
    .word   . - segments - 1
    .quad   segments - tiny_guest_begin + BASE
rx_seen:
    .word   0
ev_seen:
    .word   0
no_table:
    .word   0
    .long   0
dot:
    .asciz  "."
drive_text:
    .asciz  "drive "
written_text:
    .asciz  ": written\n"
refused_text:
    .asciz  ": refused\n"
reset_text:
    .asciz  "reset\n"
    .balign 16
tiny_guest_end:
    .code64
