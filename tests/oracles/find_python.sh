# Sourced by the scripts that install peers: finds a Python 3.9, 3.8 or 3.7 that runs.

# A candidate counts only if it runs and is the version asked for: pyenv's shims exist for versions that are not active.
is_python() {
    [ "$("$2" -c 'import ensurepip, venv, sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$1" ]
}

# Print the newest of them on PATH or of pyenv; nothing where there is none.
find_python() {
    local version candidate
    for version in 3.9 3.8 3.7; do
        for candidate in "python$version" "$HOME/.pyenv/versions/$version".*/bin/python; do
            if is_python "$version" "$candidate"; then
                echo "$candidate"
                return
            fi
        done
    done
    # uv brings one where there is none.
    command -v uv >/dev/null || return 0
    for version in 3.9 3.8; do
        uv python install --quiet "$version" >/dev/null 2>&1 || true
        candidate=$(uv python find "$version" 2>/dev/null || true)
        if is_python "$version" "$candidate"; then
            echo "$candidate"
            return
        fi
    done
}
