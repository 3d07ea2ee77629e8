#!/usr/bin/env bash
# Start of the cloud image: lets in who has the key in PUBLIC_KEY, then runs what it is given.
# Without PUBLIC_KEY no server is started, so that an image never stands open by mistake.
set -euo pipefail

if [ -n "${PUBLIC_KEY:-}" ]; then
    mkdir -p "$HOME/.ssh" /run/sshd
    chmod 700 "$HOME/.ssh"
    printf '%s\n' "$PUBLIC_KEY" > "$HOME/.ssh/authorized_keys"
    chmod 600 "$HOME/.ssh/authorized_keys"
    # A login starts afresh: hand on where the tool and its caches are, and no secrets.
    printf 'export PATH=%q HF_HOME=%q XDG_CACHE_HOME=%q\n' "$PATH" "${HF_HOME:-}" "${XDG_CACHE_HOME:-}" \
        > "$HOME/.bash_profile"
    ssh-keygen -A > /dev/null
    "$(command -v sshd)" -o PasswordAuthentication=no -o KbdInteractiveAuthentication=no
fi

exec "$@"
