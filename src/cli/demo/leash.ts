/**
 * Loaded into every process that the demo starts (`node --import`): when the demo itself is killed,
 * its agents notice by their channel's end and stop, instead of holding folder and port for ever.
 */
process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
// Without this, listening for `disconnect` would keep a finished agent alive.
process.channel?.unref();
