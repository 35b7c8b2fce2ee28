// SPDX-License-Identifier: GPL-2.0-or-later
//! QEMU TCG plugin that reports guest accesses to CXL memory.
