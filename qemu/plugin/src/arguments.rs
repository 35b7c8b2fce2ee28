// SPDX-License-Identifier: GPL-2.0-or-later
//! What follows the plugin's file name on QEMU's command line.

use std::path::PathBuf;

use chmu_ring::{PluginOptionError, PluginOptions};

/// The plugin's arguments, whose values are possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Access sockets of the devices, in the order given; at least one.
    pub(crate) sockets: Vec<PathBuf>,
    /// All else.
    pub(crate) options: PluginOptions,
}

/// Why the arguments were refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArgumentError {
    #[error("No device is named; give the path of its access socket with socket=PATH")]
    NoSocket,
    #[error("The access socket {0} is named twice")]
    SocketTwice(PathBuf),
    #[error("An access socket needs a path, as in socket=/run/access.sock")]
    EmptySocket,
    #[error(transparent)]
    Option(#[from] PluginOptionError),
}

impl Arguments {
    /// Reads `name=value` arguments as QEMU hands them over.
    pub(crate) fn parse<'a>(
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, ArgumentError> {
        let (mut sockets, mut others) = (Vec::new(), Vec::new());
        for argument in arguments {
            match argument.strip_prefix("socket=") {
                Some("") => return Err(ArgumentError::EmptySocket),
                Some(path) => {
                    let path = PathBuf::from(path);
                    if sockets.contains(&path) {
                        return Err(ArgumentError::SocketTwice(path));
                    }
                    sockets.push(path);
                }
                None => others.push(argument),
            }
        }
        let options = PluginOptions::parse(others)?;
        match sockets.is_empty() {
            true => Err(ArgumentError::NoSocket),
            false => Ok(Self { sockets, options }),
        }
    }
}

#[cfg(test)]
mod tests {
    use chmu_ring::CacheModel;

    use super::*;

    fn refused(arguments: &[&str]) -> ArgumentError {
        Arguments::parse(arguments.iter().copied()).unwrap_err()
    }

    #[test]
    fn a_socket_is_enough() {
        let arguments = Arguments::parse(["socket=/run/a=b.sock"]).unwrap();
        assert_eq!(arguments.sockets, [PathBuf::from("/run/a=b.sock")]);
        assert_eq!(arguments.options, PluginOptions::default());
    }

    #[test]
    fn sockets_keep_their_order_among_the_options() {
        let arguments = Arguments::parse(["socket=b", "cache=none", "socket=a"]);
        let expected = Arguments {
            sockets: vec!["b".into(), "a".into()],
            options: PluginOptions {
                cache: CacheModel::None,
                ..PluginOptions::default()
            },
        };
        assert_eq!(arguments.unwrap(), expected);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(refused(&[]), ArgumentError::NoSocket);
        assert_eq!(refused(&["socket="]), ArgumentError::EmptySocket);
        assert_eq!(
            refused(&["socket=a", "socket=a"]),
            ArgumentError::SocketTwice("a".into())
        );
        for option in ["cache=l1", "cache=lines:x", "socket", "cache"] {
            let error = PluginOptions::parse([option]).unwrap_err();
            let expected = ArgumentError::Option(error);
            assert_eq!(refused(&["socket=a", option]), expected);
        }
    }
}
