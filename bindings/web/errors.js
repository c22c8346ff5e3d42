// errors.js - what can go wrong: each status of the library is a class, as in the Python module.

/** Base of all errors of this package. The message says what failed and where, what was expected and what was found. */
export class MohvitError extends Error {
    get name() {
        return this.constructor.errorName;
    }
    static errorName = "MohvitError";
}

/** The caller asked for something impossible. */
export class ArgumentError extends MohvitError {
    static errorName = "ArgumentError";
}

/** An allocation failed. */
export class OutOfMemoryError extends MohvitError {
    static errorName = "OutOfMemoryError";
}

/** A file is missing, may not be read, or ends early. */
export class FileError extends MohvitError {
    static errorName = "FileError";
}

/** A file is damaged, or not what it claims to be. */
export class FormatError extends MohvitError {
    static errorName = "FormatError";
}

/** A format or feature that is known, but not supported. */
export class UnsupportedError extends MohvitError {
    static errorName = "UnsupportedError";
}

/** Something exceeds a limit that the documentation states. */
export class LimitError extends MohvitError {
    static errorName = "LimitError";
}

/** The checkpoint does not fit its config. */
export class MismatchError extends MohvitError {
    static errorName = "MismatchError";
}

/** The network answered with NaN or infinity. */
export class NonFiniteError extends MohvitError {
    static errorName = "NonFiniteError";
}

/** The engine stopped; the model has to be loaded again. */
export class SystemFailure extends MohvitError {
    static errorName = "SystemFailure";
}

/* In the order of mohvit_status (base/status.h). Nothing cancels a call here. */
const BY_STATUS = [null, ArgumentError, OutOfMemoryError, FileError, FormatError, UnsupportedError, LimitError,
    MismatchError, NonFiniteError, MohvitError, SystemFailure];

export function errorOfStatus(status, message) {
    return new (BY_STATUS[status] ?? MohvitError)(message);
}

/* What a Worker posts of an error, and back. */
export function packError(error) {
    return { name: error.name, message: error.message };
}

export function unpackError({ name, message }) {
    const kind = BY_STATUS.find((one) => one?.errorName === name);
    return kind ? new kind(message) : new Error(`${name}: ${message}`);
}
