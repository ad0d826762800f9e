-- A VM as the first version of the database held it.
INSERT INTO vms VALUES (
    '0123456789abcdef', 'old', 'stopped', NULL, 'debian-bookworm', 'debian-12', 2, 1024, 8589934592, 8589934592, 'auto',
    'qemu/tcg', 'b007', NULL, '00000000000000000000000000000000', 'private', 'ssh-ed25519 AAAA', '52:54:00:00:00:01',
    1760000000000, 1760000001000
);
