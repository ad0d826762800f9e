// The tiny guest: 32-bit protected mode, flat segments, no paging, no interrupts; loaded at 0x100000.
// It polls its devices, so that it needs neither interrupts nor timers. Sources: Xen's `docs/misc/pvh.pandoc` for the
// state at the entry; Virtual I/O Device (VIRTIO) 1.2, sections 4.2.2 (MMIO), 2.7 (split queues), 5.2 (block), 5.10 (socket).

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

    .set    RX, QUEUES
    .set    TX, QUEUES + 0x4000
    .set    EV, QUEUES + 0x8000
    .set    EVENTS, 0x240000
    .set    RING, 0x250000

// Listens on the agent's two ports and sends back what comes; rings at the host when it listens.
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
    // The ring: a request from port 5000 to the host's.
    movl    $RING, %edi
    movl    $(HEADER_BYTES / 4), %ecx
    xorl    %eax, %eax
    rep stosl
    movl    0x100(%ebx), %eax           // our own address
    movl    %eax, (RING)
    movl    $2, (RING + 8)
    movl    $5000, (RING + 16)
    movl    $1026, (RING + 20)
    movl    $0x00010001, (RING + 28)    // a stream, a request
    movl    $0x10000, (RING + 36)
    movl    $RING, %esi
    call    send
serve:
    pause
    movw    (rx_seen - tiny_guest_begin + BASE), %ax
    cmpw    %ax, (RX + 0x2002)
    jne     received
    movw    (ev_seen - tiny_guest_begin + BASE), %ax
    cmpw    %ax, (EV + 0x2002)
    je      serve
    // An event: its place is given back, which tells the device that it was heard.
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
    jmp     serve

received:
    incw    (rx_seen - tiny_guest_begin + BASE)
    movzwl  %ax, %ecx
    andl    $15, %ecx
    movl    (RX + 0x2004)(,%ecx,8), %ebp    // which buffer
    movl    %ebp, %esi
    imull   $BUFFER_BYTES, %esi, %esi
    addl    $BUFFERS, %esi
    // The answer goes back the way it came.
    movl    (%esi), %eax
    xchgl   8(%esi), %eax
    movl    %eax, (%esi)
    movl    16(%esi), %eax
    xchgl   20(%esi), %eax
    movl    %eax, 16(%esi)
    movl    $0x7fff0000, 36(%esi)       // room for more than any test sends
    movl    $0, 40(%esi)
    movzwl  30(%esi), %eax
    cmpl    $5, %eax                    // data: as it is
    je      answer
    movl    $0, 24(%esi)
    cmpl    $1, %eax                    // a request
    jne     1f
    movw    $2, 30(%esi)                // ... is accepted ...
    movl    16(%esi), %eax
    cmpl    $1024, %eax
    je      answer
    cmpl    $1025, %eax
    je      answer
    movw    $3, 30(%esi)                // ... on two ports only
    jmp     answer
1:  cmpl    $3, %eax                    // a reset needs no answer
    je      give_back
    cmpl    $6, %eax                    // nor does news of room
    je      give_back
    cmpl    $7, %eax                    // a question about room
    jne     2f
    movw    $6, 30(%esi)
    jmp     answer
2:  movw    $3, 30(%esi)                // the answer to a ring, or an end
    movl    $0, 32(%esi)
answer:
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

// Sends the packet at esi and waits until the device has it.
send:
    movl    24(%esi), %eax
    addl    $HEADER_BYTES, %eax
    movl    %esi, (TX)
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
