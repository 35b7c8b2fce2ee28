// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The whole path on a real guest: Linux on QEMU, with the device and the plugin. One file per
//! scenario; a guest is booted for each test.

mod actuator;
mod boot;
mod command_line;
mod compare;
mod conformance;
mod dax;
mod demo;
mod ends;
mod enumeration;
mod exact_counts;
mod filter;
mod interleave;
mod interrupts;
mod one_message;
mod reboot;
mod refusals;
mod rights;
mod run_settings;
mod scenarios;
mod script;
mod shell;
mod signals;
mod sources;
mod targets;
mod tools;
mod userland;
mod watch;
