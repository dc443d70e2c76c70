# The first process of a host (its pid 1). Arguments: the host's folder on the machine, and its name.
# It says its process id as the machine knows it, waits until there is a network, and lives for as
# long as the lab holds the other end of its input. Meanwhile it reaps orphans, as bash always does.
set -e
folder=$1 name=$2
read -r pid _ </proc/self/stat
mount --all --fstab "$folder/fstab"
hostname "$name"
cd "$folder/root"
for link in bin sbin lib lib32 lib64 libx32; do
    [ ! -L "/$link" ] || cp -a "/$link" "$link"
done
mkdir -p machine run/sshd var/empty/sshd var/lib var/log var/tmp
chmod 1777 var/tmp
ln -s ../run var/run
pivot_root . machine
umount --lazy /machine
rmdir /machine
cd /root
echo "$pid"
read -r batch
exec >/opt/host/init.log 2>&1
ip -batch - <<<"${batch//;/$'\n'}"
/usr/sbin/sshd -D -E /opt/host/sshd.log </dev/null &
while read -r _; do :; done
