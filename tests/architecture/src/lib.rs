//! What ARCHITECTURE.md says of the code is compared with the code by the tests of this package; it has no code of its own.
