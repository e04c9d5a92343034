//! Macros that declare what is laid out the same for the programs and for the daemon.

/// Asserts sizes, and that a type may be copied to and from the kernel as bytes.
macro_rules! abi {
    ($($type:ty: $size:literal,)+) => {
        $(
            const _: () = assert!(size_of::<$type>() == $size);
            #[cfg(feature = "user")]
            // SAFETY: repr(C) of integers and byte arrays; the size above is the sum of the fields,
            // so there is no padding, and every bit pattern is a value.
            unsafe impl aya::Pod for $type {}
        )+
    };
}
pub(crate) use abi;

/// Declares a type with a layout that another version might have, for tests of migration: under the
/// feature `other-layout` the field that is marked as `moved` stands first.
macro_rules! two_layouts {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$before_meta:meta])* pub $before:ident: $before_type:ty,)*
            moved {
                $(#[$moved_meta:meta])* pub $moved:ident: $moved_type:ty,
            }
            $($(#[$after_meta:meta])* pub $after:ident: $after_type:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[cfg(not(feature = "other-layout"))]
        pub struct $name {
            $($(#[$before_meta])* pub $before: $before_type,)*
            $(#[$moved_meta])* pub $moved: $moved_type,
            $($(#[$after_meta])* pub $after: $after_type,)*
        }

        $(#[$meta])*
        #[cfg(feature = "other-layout")]
        pub struct $name {
            $(#[$moved_meta])* pub $moved: $moved_type,
            $($(#[$before_meta])* pub $before: $before_type,)*
            $($(#[$after_meta])* pub $after: $after_type,)*
        }
    };
}
pub(crate) use two_layouts;
