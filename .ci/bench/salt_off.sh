#!/bin/sh
# Stands in for salt-call where Berth's own time is measured: it checks the
# code out, since a server is ready only with its code in place, and answers as
# salt-call does after one step that did nothing.
while [ $# -gt 0 ]; do
	[ "$1" = -c ] && dir=$(dirname "$2")
	shift
done
text=$(cat "$dir/pillar/berth.sls")
value() { printf %s "$text" | sed -n 's/.*"'"$1"'": *"\([^"]*\)".*/\1/p' | head -n 1; }
git clone -q "$(value repository)" "$(value checkout)" && git -C "$(value checkout)" checkout -q "$(value revision)" || exit 1
echo '{"local":{"test_|-nothing_|-nothing_|-nop":{"result":true,"comment":"Success!","changes":{},"name":"nothing","__id__":"nothing","__sls__":"app","__run_num__":0}}}'
