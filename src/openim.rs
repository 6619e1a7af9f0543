//! The other end's rules: what OpenIM makes of a reply.
