/** A file, or a URL, that says who may come in or do what. Times are ISO 8601 in UTC. */
export interface AccessFileStatus {
  /** `mqtt.usersFile`, `mqtt.aclFile`, or the keys of `mqtt.jwt`. */
  readonly what: 'users' | 'rules' | 'keys';
  readonly source: string;
  /** Why it can't be used as it is, so that what was read before is; null: it is in use. */
  readonly trouble: string | null;
  /** By this machine's clock; null without a trouble. */
  readonly since: string | null;
}
