//! Where OpenIM's releases differ: what denies, and how a denial reaches the API client.

use super::ClientError;
use crate::contract::{Callback, Timing};

/// A release of OpenIM, as far as replies go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// release-v3.5: an actionCode other than 0 denies too, and After callbacks are obeyed like Before callbacks, only
    /// too late.
    V3_5,
    /// release-v3.7: as 3.8. It asks about each new member of a group by itself.
    V3_7,
    /// release-v3.8: message and detail of a denial become one text. A crash ends the whole process, as before.
    V3_8,
    /// 3.8.3-patch: message and detail stay apart, and every code from 1 on is handed on.
    V3_8_3,
    /// pre-release-v3.8.4 and main: code 0 is a success, codes below 100 are lost, and a message's content must be an
    /// object.
    V3_8_4,
}

/// What OpenIM answers where the code of a denial is not fit to be one (openimsdk/tools, errs).
const SERVER_INTERNAL_ERROR: i32 = 500;

impl Release {
    /// Every release, oldest first.
    pub const ALL: [Self; 5] = [Self::V3_5, Self::V3_7, Self::V3_8, Self::V3_8_3, Self::V3_8_4];

    /// Its number: `3.8.4`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V3_5 => "3.5",
            Self::V3_7 => "3.7",
            Self::V3_8 => "3.8",
            Self::V3_8_3 => "3.8.3",
            Self::V3_8_4 => "3.8.4",
        }
    }

    /// Whether anybody looks at the reply of a callback with this timing. From 3.7 on the replies of After callbacks
    /// are decoded and dropped; 3.5 shows most of their denials to the API client, although the operation is done.
    pub fn heeds(self, timing: Timing) -> bool {
        timing == Timing::Before || self == Self::V3_5
    }

    /// Whether it posts this command of a callback. The older ones that the contract knows are all of 3.5, which has no
    /// others for those callbacks (pkg/callbackstruct/constant.go).
    pub fn posts(self, callback: &Callback, command: &str) -> bool {
        let older = self == Self::V3_5 && !callback.older_commands.is_empty();
        callback.releases.contains(&self.as_str()) && older == (command != callback.command)
    }

    /// Whether a reply with these codes denies (pkg/callbackstruct/common.go, Parse). The errCode plays no part.
    pub(super) fn denies(self, action_code: i32, next_code: i32) -> bool {
        match self {
            Self::V3_5 => action_code != 0 || next_code == 1,
            Self::V3_7 | Self::V3_8 | Self::V3_8_3 | Self::V3_8_4 => action_code == 0 && next_code == 1,
        }
    }

    /// What the API client reads of an error, once it has crossed OpenIM's gRPC (openimsdk/tools: before 3.8.4
    /// mw/rpc_server_interceptor.go and mw/rpc_client_interceptor.go, then mw/grpc/server/error.go and
    /// mw/grpc/client/error.go).
    pub(super) fn tells(self, code: i32, message: &str, detail: &str) -> ClientError {
        let error = |code, message: &str, detail: &str| ClientError {
            code,
            message: message.to_owned(),
            detail: detail.to_owned(),
        };
        // errs/coderr.go, Error.
        let mut whole = format!("{code} {message}");
        if !detail.is_empty() {
            whole.extend([" ", detail]);
        }
        let fit = if code > 0 { code } else { SERVER_INTERNAL_ERROR };
        match self {
            Self::V3_5 => error(fit, message, &whole),
            Self::V3_7 | Self::V3_8 => error(fit, &whole, &whole),
            Self::V3_8_3 => {
                let message = if message.is_empty() { &whole } else { message };
                error(fit, message, if detail.is_empty() { message } else { detail })
            }
            // Here the code is the status code of a gRPC call and is taken for one: 0 is OK, 14 UNAVAILABLE, a negative
            // one not even a status.
            Self::V3_8_4 => match code {
                0 => error(0, "", ""),
                14 => error(SERVER_INTERNAL_ERROR, &format!("grpc service … down, grpc message {message}"), ""),
                ..100 => error(SERVER_INTERNAL_ERROR, "ServerInternalError", ""),
                100.. => error(code, message, detail),
            },
        }
    }
}
